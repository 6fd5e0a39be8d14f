"""Signatures: the names of the arguments that a constructor passes on, for ``help()`` and errors.

Loaded when a signature is asked for, or an argument is refused.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from zmqbridge import arguments
from zmqbridge.core.framing import as_name

# What names mean that others have for it.
MEANT = {
    "identity": "options={zmq.ROUTING_ID: b'…'}",
    "routing_id": "options={zmq.ROUTING_ID: b'…'}",
    "linger": "options={zmq.LINGER: milliseconds}",
    "hwm": "options={zmq.SNDHWM: messages, zmq.RCVHWM: messages}",
    "highWaterMark": "options={zmq.SNDHWM: messages, zmq.RCVHWM: messages}",
    "address": "bind= or connect=",
    "endpoint": "bind= or connect=",
    "port": "bind= or connect=, as 'tcp://127.0.0.1:5555'",
    "topic": "the tags as the first argument of a Subscriber",
    "topics": "the tags as the first argument of a Subscriber",
}

# And those of the arguments that the classes for Twisted have.
ON_TWISTED = {
    "handler": "call serve(handler) of a Replier, or receive by `async for`",
    "reactor": "it works on the loop that runs",
}


def refuse(owner: type, unknown: Iterable[str], defaults: Mapping[str, Any]) -> NoReturn:
    """Raise a TypeError for an argument that `owner` does not take, with the most similar name."""
    wrong = next(iter(unknown))
    takes = parameters_of(owner, defaults)
    near = get_close_matches(wrong, takes, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(takes)}"
    if wrong in MEANT:
        hint = f"give {MEANT[wrong]}"
    elif wrong in ON_TWISTED and not hasattr(owner, "doRead"):
        hint = f"it is one of the classes for Twisted; {ON_TWISTED[wrong]}"
    raise TypeError(f"{owner.__name__}() has no argument {wrong!r}: {hint}")


def refuse_positional(
    owner: type, surplus: Sequence[object], defaults: Mapping[str, Any]
) -> NoReturn:
    """Raise a TypeError for an argument that `owner` takes by name only."""
    address, name = surplus[0], owner.__name__
    if isinstance(address, str | bytes) and re.match(r"\w+://", as_name(address, "").decode()):
        text = f"{name}({address!r}): write connect={address!r} or bind={address!r}"
    else:
        takes = parameters_of(owner, defaults)
        kind = type(address).__name__
        text = f"{name}() got a {kind} without its name: it takes {', '.join(takes)}"
    raise TypeError(text)


def only_known(owner: type, given: Iterable[str], defaults: Mapping[str, Any]) -> None:
    """Refuse what `owner` does not take, although the link would."""
    takes = parameters_of(owner, defaults)
    if unknown := [name for name in given if name not in takes]:
        refuse(owner, unknown, defaults)


def parameters_of(owner: type, defaults: Mapping[str, Any]) -> Mapping[str, inspect.Parameter]:
    """What a constructor takes, also one that a subclass has replaced."""
    found = (signature(each, defaults) for each in owner.__mro__)
    return next(filter(None, found)).parameters


def signature(owner: Any, defaults: Mapping[str, Any]) -> inspect.Signature | None:
    """What a constructor takes: its own parameters, and those that its ``Unpack`` stands for.

    Args:
        owner: the class.
        defaults: of the arguments that every socket takes, in their order; a missing one is None.
    """
    _, *parameters = inspect.signature(owner.__init__).parameters.values()
    group = re.match(r"Unpack\[(\w+)", str(parameters[-1].annotation)) if parameters else None
    if group is None:
        return None
    hints: dict[str, Any] = getattr(arguments, group[1]).__annotations__
    parameters[-1:] = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(name),
            annotation=getattr(hints[name], "__forward_arg__", hints[name]),
        )
        for name in dict.fromkeys([*defaults, *hints])
        if name in hints
    ]
    return inspect.Signature(parameters)
