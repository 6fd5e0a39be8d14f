"""Misspelt: refuses an argument that no constructor takes, by the name of the class of the user."""

from __future__ import annotations

from typing import Any

CO_VARKEYWORDS = 8  # see `inspect`, which takes a while to import


class ShownOwn:
    """The ``__signature__`` of a class with `new`, which `inspect` would show instead."""

    def __get__(self, instance: object, owner: type) -> object:
        import inspect

        _, *parameters = inspect.signature(owner.__init__).parameters.values()  # type: ignore[misc]
        return inspect.Signature(parameters)


def new(cls: type, *given: object, **arguments: object) -> Any:
    """The ``__new__`` of a class: Python's own error would name the base that has the constructor.

    Raises:
        TypeError: an argument is misspelt; the text names the most similar one.
    """
    if arguments:
        code = getattr(cls.__init__, "__code__", None)  # type: ignore[misc]
        if code and not code.co_flags & CO_VARKEYWORDS:
            takes = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
            for name in arguments:
                if name not in takes:
                    raise refusal(cls, name, takes)
    return object.__new__(cls)


def refusal(cls: type, wrong: str, takes: tuple[str, ...]) -> TypeError:
    """The error for an argument that a class does not take."""
    from difflib import get_close_matches

    near = get_close_matches(wrong, takes, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(takes)}"
    return TypeError(f"{cls.__name__}() has no argument {wrong!r}: {hint}")
