"""What the core exports: each name is there, to a program and to a type checker."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from zmqbridge import core


@pytest.mark.parametrize("name", core.__all__)
def test_an_exported_name_is_that_of_its_module(name: str) -> None:
    value = getattr(core, name)
    assert getattr(value, "__module__", "zmqbridge.core").startswith(("zmqbridge.core", "builtins"))
    assert vars(core)[name] is value
    assert name in dir(core)


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Mailbox"):
        _ = core.Mailbox


def test_a_type_checker_sees_the_same_names() -> None:
    tree = ast.parse(Path(core.__file__).read_text())
    block: Any
    [block] = (each for each in tree.body if isinstance(each, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == {name: f"zmqbridge.core.{core._MODULE_OF[name]}" for name in core.__all__}
