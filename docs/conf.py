"""How Sphinx builds the site: ``nox -s docs``, offline, with warnings as errors."""

import os
import sys
from pathlib import Path

import zmqbridge

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "zmqbridge"
author = "The zmqbridge authors"
copyright = author
version = release = zmqbridge.__version__
root_doc = "index"
exclude_patterns = ["_build"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "names",
    "argumenttables",
    "wholewords",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
# A line of code has up to 98 characters, and is seen whole.
html_theme_options = {
    "light_css_variables": {"code-font-size": "74%"},
    "navigation_with_keys": True,
}
html_title = f"zmqbridge {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
highlight_language = "text"
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True

templates_path = ["_templates"]
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 76
python_use_unqualified_type_names = True
add_module_names = False  # a page begins with the import
toc_object_entries = False

# A docstring's `name` is a link where the name is ours, and code where it is not.
default_role = "name"

# Links into the documentation of others need their inventories, which would have to be fetched. A
# build must not depend on whether somebody else's server answers, so it fetches only if told to.
nitpicky = True
if "DOCS_ONLINE" in os.environ:
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "twisted": ("https://docs.twisted.org/en/stable/api", None),
        "zmq": ("https://pyzmq.readthedocs.io/en/latest", None),
        "anyio": ("https://anyio.readthedocs.io/en/stable", None),
    }
OF_OTHERS = """
    zmq twisted prometheus_client opentelemetry asyncio anyio collections concurrent typing
    contextlib zope types os random hypothesis
    bytes bytearray memoryview str int float bool object None type tuple list dict set
    Iterable Iterator Sequence Callable Mapping Awaitable Coroutine Hashable Any Self ClassVar Final
    Deferred Enum IntEnum Exception BaseException TypeError ValueError OSError KeyError ImportError
    RuntimeError TimeoutError MemoryError
"""
UNNAMED = """
    Item Item_co Waiter Key Result Body Source Publication
    Change FormatName By NothingNow Monitor SimContext Split
"""
nitpick_ignore_regex = [
    (r"py:.*", rf"({'|'.join(OF_OTHERS.split())})(\..*)?"),
    # Type variables, aliases, and what is private.
    (r"py:.*", rf"(.*\.)?({'|'.join(UNNAMED.split())})"),
]
