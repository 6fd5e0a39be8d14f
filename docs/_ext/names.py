"""Finds what a name in a docstring or page means: the object of ours nearest to where it is said.

Docstrings and pages say `QueueFull` or `receive`, without a path, in backticks. In the source that
is plain for a reader. Here it becomes a link, if the name is ours, and else just code.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole
from sphinx.util.nodes import make_refnode

HIDDEN = "\ue000"  # a colon and a blank
PAGE = re.compile(r"docs/([\w-]+)\.md")
NAME = re.compile(r"([A-Z]\w+)(\.\w+)?(\(.*\))?$")  # Pusher, Pusher.push, Pusher.push(b"x")


def nearest(names: list[str], place: str) -> str:
    """Of full names the one that shares most of its path with `place`; then the shortest."""

    def rank(name: str) -> tuple[int, int, str]:
        shared = 0
        for ours, theirs in zip(name.split("."), place.split("."), strict=False):
            if ours != theirs:
                break
            shared += 1
        return -shared, name.count("."), name

    return min(names, key=rank)


def find(app: Sphinx, env: Any, node: pending_xref, content: nodes.Element) -> Any:
    """Resolve what Sphinx itself has not found."""
    is_name = node.get("reftype") == "name"
    if node.get("refdomain") != "py" and not is_name:
        return None
    target = node["reftarget"].removesuffix("()")
    place = ".".join(filter(None, (node.get("py:module"), node.get("py:class"))))
    objects = env.domains["py"].objects
    names = [name for name in objects if name == target or name.endswith("." + target)]
    if not names and target.startswith("zmqbridge."):  # said by the module that defines it
        last = target.rpartition(".")[2]
        names = [name for name in objects if name.endswith("." + last) and last[0].isupper()]
    # A lower-case word may be a parameter. It means what is in the same class or module.
    names = [
        name
        for name in names
        if "." in target or target[0].isupper() or f"{place}.".startswith(name[: -len(target)])
    ]
    if names:
        name = nearest(names, place)
        entry = objects[name]
        return make_refnode(
            app.builder, node["refdoc"], entry.docname, entry.node_id, content, name
        )
    return content if is_name else None


class Name(PyXRefRole):
    """What `name` in single backticks is."""


def hide_colon(
    app: Sphinx, what: str, name: str, owner: Any, options: Any, lines: list[str]
) -> None:
    """Keep napoleon from taking what stands before a colon for the type of an attribute."""
    if what in ("attribute", "property", "data") and lines:
        lines[0] = lines[0].replace(": ", HIDDEN)


def show_colon(
    app: Sphinx, what: str, name: str, owner: Any, options: Any, lines: list[str]
) -> None:
    """Undo `hide_colon`, after napoleon; and make a link of a page that a docstring names."""
    lines[:] = [PAGE.sub(r":doc:`/\1`", line.replace(HIDDEN, ": ")) for line in lines]


def link_literals(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Make links of the classes, methods and errors that a page names in backticks."""
    objects = app.env.domains["py"].objects
    place = "zmqbridge." + ("twisted" if "twisted" in docname else "asyncio") + "_backend"
    for literal in list(doctree.findall(nodes.literal)):
        named = NAME.match(literal.astext())
        if named is None or isinstance(literal.parent, nodes.reference | nodes.title):
            continue
        for text in (named[1] + (named[2] or ""), named[1]):
            names = [each for each in objects if each.endswith("." + text)]
            names = [each for each in names if each.removesuffix(text).count(".") < 3]
            if names:
                name = nearest(names, place)
                to = objects[name]
                copy = literal.deepcopy()
                link = make_refnode(app.builder, docname, to.docname, to.node_id, copy, name)
                literal.replace_self(link)
                break


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_role("name", Name())
    app.connect("missing-reference", find, priority=400)
    app.connect("autodoc-process-docstring", hide_colon, priority=100)
    app.connect("autodoc-process-docstring", show_colon, priority=900)
    app.connect("doctree-resolved", link_literals)
    return {"parallel_read_safe": True}
