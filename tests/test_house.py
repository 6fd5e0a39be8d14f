"""The house stays as it was built: what its rules say is counted here, in the sources."""

from __future__ import annotations

import ast
import graphlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import zmqbridge
from zmqbridge import asyncio_backend, core, twisted_backend, txzmq

PACKAGE = Path(zmqbridge.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

MOST_OF_A_FILE = 350  # lines
MOST_OF_A_FUNCTION = 40  # lines of code
WIDE = 20  # the indent from which a line of the drawing goes on with what the one before says


@pytest.mark.parametrize("module", [asyncio_backend, twisted_backend, txzmq])
def test_a_public_class_has_at_most_two_of_ours_above_it(module: ModuleType) -> None:
    for name in module.__all__:
        kind = getattr(module, name)
        if inspect.isclass(kind):
            ours = [each for each in kind.__mro__ if each.__module__.startswith("zmqbridge")]
            assert len(ours) <= 3, ours


def drawn() -> list[str]:
    """The modules in the drawing of docs/design.md, each as ``room/module``."""
    design = (PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8")
    drawing = design.partition("    zmqbridge/ ")[2].partition("    twisted/plugins/")[0]
    found, rooms = list[str](), {6: ""}
    for line in drawing.splitlines()[1:]:
        words = line.strip()
        indent = len(line) - len(line.lstrip())
        names = re.split(r"  +", words)[0].strip(",").split(", ") if indent < WIDE else []
        for name in names:
            if name.endswith("/"):
                rooms[indent + 2] = rooms[indent] + name
            else:
                found.append(rooms[indent] + name)
    return found


def test_each_module_has_one_place_in_the_drawing_of_the_house_and_nothing_else_has() -> None:
    modules = [path.relative_to(PACKAGE).with_suffix("").as_posix() for path in SOURCES]
    assert sorted(drawn()) == sorted(each for each in modules if not each.endswith("__init__"))


def public_modules() -> tuple[set[str], set[str]]:
    """The modules that docs/stability.md names as public: with an `__all__`, and without."""
    page = (PACKAGE.parent / "docs" / "stability.md").read_text(encoding="utf-8")
    section = page.partition("## Which modules are public")[2].partition("\nSo these")[0]
    with_all, without = (
        set(re.findall(r"`(zmqbridge[\w.]*)`", part)) for part in section.split("\n- ")[1:]
    )
    return with_all, without


def test_what_is_not_public_is_private_by_its_name_and_a_page_says_what_is_public() -> None:
    with_all, without = public_modules()
    modules = {module_of(path): path.read_text(encoding="utf-8") for path in SOURCES}
    of_core = {f"zmqbridge.core.{name}" for name in core._MODULES}
    assert {name for name in modules if "._" not in name} == with_all | without | of_core
    assert {name for name, text in modules.items() if "\n__all__" in text} == with_all


def lines_of_code(function: Any, source: list[str]) -> int:
    """The lines of a function from its `def`, without docstrings, comments and empty lines."""
    documented = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    docstrings = {
        line
        for each in ast.walk(function)
        if isinstance(each, documented) and ast.get_docstring(each) is not None
        for line in range(each.body[0].lineno, (each.body[0].end_lineno or 0) + 1)
    }
    return sum(
        number not in docstrings and source[number - 1].strip()[:1] not in ("", "#")
        for number in range(function.lineno, function.end_lineno + 1)
    )


def long_ones(path: Path) -> set[str]:
    name, text = path.relative_to(PACKAGE).as_posix(), path.read_text()
    source = text.splitlines()
    functions = {
        f"{name} {each.name}"
        for each in ast.walk(ast.parse(text))
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of_code(each, source) > MOST_OF_A_FUNCTION
    }
    return functions | ({name} if len(source) > MOST_OF_A_FILE else set())


def module_of(path: Path) -> str:
    names = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(names).removesuffix(".__init__")


def imported(path: Path, modules: set[str]) -> set[str]:
    """The modules that a file names in an import, also for type checkers only or in a function."""
    found = set()
    for each in ast.walk(ast.parse(path.read_text())):
        if isinstance(each, ast.ImportFrom) and each.module:
            inside = {f"{each.module}.{name.name}" for name in each.names} & modules
            found |= inside or {each.module} & modules
        elif isinstance(each, ast.Import):
            found |= {name.name for name in each.names} & modules
    return found - {module_of(path)}


def test_no_file_imports_itself_by_way_of_others() -> None:
    # The simulated network is left out: its sockets, connections and nodes know each other.
    simulated = PACKAGE / "testing"
    files = {module_of(path): path for path in SOURCES if simulated not in path.parents}
    uses = {name: imported(path, set(files)) for name, path in files.items()}
    assert uses["zmqbridge._bridge.pump"] > {"zmqbridge._bridge.sending", "zmqbridge.errors"}
    list(graphlib.TopologicalSorter(uses).static_order())  # a CycleError names the circle


def test_no_file_and_no_function_is_longer_than_one_can_oversee() -> None:
    assert set().union(*map(long_ones, SOURCES)) == set()


def test_what_counts_as_a_line_of_code() -> None:
    source = [
        "async def outer(",
        "    a,",
        "):",
        '    """Its',
        "",
        '    docstring."""',
        "    # a comment",
        "",
        "    def inner():",
        '        """Another."""',
        "        return a + (",
        "",
        "            1)",
        "    return inner  # at its end",
    ]
    outer: Any = ast.parse("\n".join(source)).body[0]
    assert lines_of_code(outer, source) == 7
    assert lines_of_code(outer.body[1], source) == 3


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_opens_with_a_sentence_that_says_its_job(path: Path) -> None:
    opening = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert opening.partition("\n\n")[0].endswith((".", ":"))
