"""Tables of the constructors' arguments, made from their signatures: who takes what.

``.. argument-table::`` with the name of a backend makes one table, a row for each argument. Each
class on its own page gets links to the arguments that it takes.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from zmqbridge import arguments
from zmqbridge._bridge.misspelt import ShownOwn

BACKENDS = ["zmqbridge.asyncio_backend", "zmqbridge.twisted_backend"]
ORDER = [
    "Publisher", "Subscriber", "Pusher", "Puller", "Requester", "Replier", "Dealer", "Router",
    "XPublisher", "XSubscriber", "Pair",
]  # fmt: skip


def described(argument: str) -> str:
    """The full name under which an argument is described."""
    for name in arguments.__all__:
        group = getattr(arguments, name)
        if argument in re.findall(r"^    (\w+):", inspect.getdoc(group) or "", re.M):
            return f"zmqbridge.arguments.{name}.{argument}"
    return ""


def sockets(backend: Any) -> dict[str, inspect.Signature]:
    """The classes of a backend that pass arguments on, with what they take."""
    names = sorted(
        backend.__all__, key=lambda name: (name not in ORDER, [*ORDER, name].index(name))
    )
    classes = {name: getattr(backend, name) for name in names}
    return {
        name: inspect.signature(value)
        for name, value in classes.items()
        if hasattr(value, "__signature__")
        and not isinstance(inspect.getattr_static(value, "__signature__"), ShownOwn)
    }


def default(argument: str, signatures: dict[str, inspect.Signature]) -> str:
    """The default of an argument, which is the same for all classes that take it."""
    values = {
        each.parameters[argument].default
        for each in signatures.values()
        if argument in each.parameters
    }
    (value,) = values
    return "" if value is inspect.Parameter.empty else f"``{value!r}``"


class ArgumentTable(SphinxDirective):
    """A row for each argument of a backend's classes, a column for each class."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        signatures = sockets(importlib.import_module(self.arguments[0]))
        everything = dict.fromkeys(name for each in signatures.values() for name in each.parameters)
        everything = sorted(everything, key=lambda name: bool(described(name)))  # their own first
        lines = [
            ".. list-table::",
            "   :header-rows: 1",
            "   :class: matrix",
            "",
            "   * - argument",
            "     - default",
            *(f"     - {name}" for name in signatures),
        ]
        for name in everything:
            where = described(name)
            lines += [
                f"   * - :py:attr:`{name} <{where}>`" if where else f"   * - ``{name}``",
                f"     - {default(name, signatures)}",
                *(
                    f"     - {'✓' if name in each.parameters else ''}"
                    for each in signatures.values()
                ),
            ]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, "argument-table"), self.content_offset, node)
        return node.children


def link(app: Sphinx, what: str, name: str, owner: Any, options: Any, lines: list[str]) -> None:
    """Give the docstring of a class links to the arguments that it takes."""
    backend, _, plain = name.rpartition(".")
    if what != "class" or backend not in BACKENDS:
        return
    signature = sockets(importlib.import_module(backend)).get(plain)
    if signature is None:
        return
    links = [
        f":py:attr:`{each} <{described(each)}>`" for each in signature.parameters if described(each)
    ]
    lines[:] = [line for line in lines if not re.match(r":param arguments:", line)]
    if lines and lines[-1].strip():
        lines.append("")
    lines += [f":Keyword arguments: {', '.join(links)}", ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("argument-table", ArgumentTable)
    app.connect("autodoc-process-docstring", link, priority=900)  # after napoleon
    return {"parallel_read_safe": True}
