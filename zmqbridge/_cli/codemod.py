"""The codemod: rewrites imports of txZMQ in a module, and notes what is left to a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import libcst as cst
from libcst import helpers
from libcst.metadata import (
    MetadataWrapper,
    PositionProvider,
    QualifiedNameProvider,
    QualifiedNameSource,
)

NEW = "zmqbridge.txzmq"
# txZMQ, the name that it had before 0.6, and a fork.
OLD = ("txzmq", "txZMQ", "tx0mq")
SUBMODULES = {"xreq_xrep": "req_rep"}
CLASSES = {"ZmqXREQConnection": "ZmqREQConnection", "ZmqXREPConnection": "ZmqREPConnection"}
ENDPOINT_TYPES = {"Connect": "connect", "Bind": "bind"}


class Unreadable(Exception):
    """The file is not Python 3 that can be rewritten; the text says where."""


class Note(NamedTuple):
    """Something that is left to a person.

    Attributes:
        line: where, from 1 on.
        text: what it is.
    """

    line: int
    text: str


@dataclass
class Result:
    """The result for a module.

    Attributes:
        source: the new text, equal to the old one where there was nothing to do.
        notes: what is left to a person, by line.
    """

    source: bytes
    notes: list[Note] = field(default_factory=list)


def migrate(source: bytes) -> Result:
    """Rewrite a module; a module that was rewritten before stays as it is.

    Args:
        source: the text of the file, in its own encoding.

    Raises:
        Unreadable: it is not Python 3.
    """
    if not any(name.encode() in source for name in OLD):
        return Result(source)
    try:
        wrapper = MetadataWrapper(cst.parse_module(source))
    except (cst.ParserSyntaxError, UnicodeDecodeError, LookupError) as error:
        line = getattr(error, "raw_line", 1)
        raise Unreadable(f"line {line}: no Python 3; nothing is changed here") from None
    rewriting = _Rewriting()
    module = wrapper.visit(rewriting)
    return Result(module.bytes, sorted(rewriting.notes, key=lambda note: note.line))


def moved(name: str) -> str | None:
    """The new name of a module of txZMQ; None if it is no such module, or has no new name."""
    package, _, rest = name.partition(".")
    if package not in OLD or rest.partition(".")[0] == "test":
        return None
    rest = SUBMODULES.get(rest, rest)
    return f"{NEW}.{rest}" if rest else NEW


class _Rewriting(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (PositionProvider, QualifiedNameProvider)

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Note] = []

    # Imports.

    def leave_Import(
        self, original_node: cst.Import, updated_node: cst.Import
    ) -> cst.BaseSmallStatement | cst.FlattenSentinel[cst.BaseSmallStatement]:
        kept: list[cst.ImportAlias] = []
        imported: list[cst.BaseSmallStatement] = []
        for alias in updated_node.names:
            name = helpers.get_full_name_for_node(alias.name) or ""
            new = moved(name)
            if new is None:
                self._left(original_node, name, rebinds=alias.asname is None)
                kept.append(alias)
            elif alias.asname is not None and new != NEW:  # import txzmq.connection as c
                imported.append(cst.Import([alias.with_changes(name=_dotted(new), comma=_NONE)]))
            else:
                imported.append(_from_package(name.partition(".")[0], alias.asname))
        if not imported:
            return updated_node
        if kept:
            kept[-1] = kept[-1].with_changes(comma=_NONE)
            imported.insert(0, updated_node.with_changes(names=kept, semicolon=_NO_SEMICOLON))
        # The end of the statement, e.g. a semicolon, is the end of the last new one.
        imported[-1] = imported[-1].with_changes(semicolon=updated_node.semicolon)
        return cst.FlattenSentinel(imported)

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.BaseStatement | cst.FlattenSentinel[cst.BaseStatement]:
        if len(updated_node.body) <= len(original_node.body) or len(original_node.body) > 1:
            return updated_node
        lines = [cst.SimpleStatementLine([each]) for each in updated_node.body]
        lines[0] = lines[0].with_changes(leading_lines=updated_node.leading_lines)
        lines[-1] = lines[-1].with_changes(trailing_whitespace=updated_node.trailing_whitespace)
        return cst.FlattenSentinel(lines)

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom:
        if updated_node.module is None or updated_node.relative:
            return updated_node
        name = helpers.get_full_name_for_node(updated_node.module) or ""
        new = moved(name)
        if new is None:
            self._left(original_node, name)
            if not name.startswith(NEW):
                return updated_node
        names = updated_node.names
        if not isinstance(names, cst.ImportStar):
            names = [
                each.with_changes(name=cst.Name(CLASSES[each.evaluated_name]))
                if each.evaluated_name in CLASSES
                else each
                for each in names
            ]
        module = updated_node.module if new is None else _dotted(new)
        return updated_node.with_changes(module=module, names=names)

    def _left(self, node: cst.CSTNode, name: str, rebinds: bool = False) -> None:
        package = name.partition(".")[0]
        if package in OLD:
            text = f"{name} is not in zmqbridge; it is left as it is"
            if rebinds:
                text += (
                    f", and makes {package} the name of the original again, which the program "
                    f"would run on: write `from {name} import ...`"
                )
            self._note(node, text)

    # Uses.

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        if updated_node.value in CLASSES and self._is_ours(original_node, updated_node.value):
            return updated_node.with_changes(value=CLASSES[updated_node.value])
        return updated_node

    def leave_Attribute(
        self, original_node: cst.Attribute, updated_node: cst.Attribute
    ) -> cst.Attribute:
        name = updated_node.attr.value
        if name in ENDPOINT_TYPES and self._is_ours(original_node, f"ZmqEndpointType.{name}"):
            return updated_node.with_changes(attr=cst.Name(ENDPOINT_TYPES[name]))
        if name in CLASSES and self._is_ours(original_node, name):
            return updated_node.with_changes(attr=cst.Name(CLASSES[name]))
        return updated_node

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        value = node.evaluated_value
        if not isinstance(value, str) or " " in value or value == "txZMQ":  # as in prose
            return
        if value.partition(".")[0] in OLD:
            self._note(node, f"the text {value!r} may be the name of a module; it is left as it is")

    def _is_ours(self, node: cst.CSTNode, name: str) -> bool:
        for found in self.get_metadata(QualifiedNameProvider, node, set()):
            package, _, rest = found.name.partition(".")
            known = package in OLD or found.name.startswith(f"{NEW}.")
            if (
                found.source is QualifiedNameSource.IMPORT
                and known
                and f".{rest}".endswith(f".{name}")
            ):
                return True
        return False

    # Notes.

    def _note(self, node: cst.CSTNode, text: str) -> None:
        position = self.get_metadata(PositionProvider, node)
        self.notes.append(Note(position.start.line, text))


_NONE = cst.MaybeSentinel.DEFAULT
_NO_SEMICOLON = cst.MaybeSentinel.DEFAULT


def _dotted(name: str) -> cst.Name | cst.Attribute:
    parsed = cst.parse_expression(name)
    assert isinstance(parsed, cst.Name | cst.Attribute)
    return parsed


def _from_package(bound: str, asname: cst.AsName | None) -> cst.ImportFrom:
    # `from zmqbridge import txzmq`, bound to the name that the program uses.
    if asname is None and bound != "txzmq":
        space = cst.SimpleWhitespace(" ")
        asname = cst.AsName(cst.Name(bound), space, space)
    names: Sequence[cst.ImportAlias] = [cst.ImportAlias(cst.Name("txzmq"), asname)]
    return cst.ImportFrom(cst.Name("zmqbridge"), names)
