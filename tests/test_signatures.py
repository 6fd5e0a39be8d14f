"""Constructors show what they take, by name, type and default; and name what they do not take."""

from __future__ import annotations

import enum
import inspect
import pydoc
import re
import subprocess
import sys
from types import ModuleType
from typing import Any, get_args, get_type_hints, is_typeddict

import pytest
import zmq

from zmqbridge import (
    arguments,
    asyncio_backend,
    core,
    proxies,
    security,
    sequences,
    testing,
    twisted_backend,
    txzmq,
)
from zmqbridge._bridge.link import Link
from zmqbridge.security import Security
from zmqbridge.twisted_backend.proxyservice import ProxyService

COMMON: dict[str, object] = {
    "bind": (),
    "connect": (),
    "context": None,
    "options": None,
    "security": None,
    "monitor": False,
}
FORMAT: dict[str, object] = {"format": "joined"}
SENDS: dict[str, object] = {"send_queue": None}
RECEIVES: dict[str, object] = {"prefetch": None, "prefetch_bytes": None}
REACTOR: dict[str, object] = {"reactor": None}
HANDLER: dict[str, object] = {"handler": None}
TAKES: dict[str, dict[str, object]] = {
    "Publisher": FORMAT | COMMON | SENDS | dict.fromkeys(["barrier", "sequence", "last_values"]),
    "Pusher": COMMON | SENDS,
    "Puller": COMMON | RECEIVES,
    "Subscriber": {"tags": ()}
    | FORMAT
    | {"numbers": False}
    | COMMON
    | RECEIVES
    | dict.fromkeys(["exact", "conflate", "numbered_by", "replay", "latest", "since", "on_gap"]),
    "Requester": {"timeout": None} | COMMON | SENDS,
    "Replier": COMMON | SENDS | RECEIVES,
    "Dealer": COMMON | SENDS | RECEIVES,
    "Router": COMMON | SENDS | RECEIVES,
    "Pair": COMMON | SENDS | RECEIVES,
    "XPublisher": FORMAT | COMMON | SENDS | RECEIVES,
    "XSubscriber": {"tags": ()} | FORMAT | COMMON | RECEIVES,
    "Authenticator": {"policies": inspect.Parameter.empty, "context": None},
}
BY_POSITION = {"tags", "timeout", "policies"}
BACKENDS = [asyncio_backend, twisted_backend]
GROUPS = [value for value in vars(arguments).values() if is_typeddict(value)]

each_class = pytest.mark.parametrize(
    ("backend", "name"),
    [(backend, name) for backend in BACKENDS for name in TAKES],
    ids=lambda value: getattr(value, "__name__", value),
)


def expected(backend: ModuleType, name: str) -> dict[str, Any]:
    takes = dict(TAKES[name])
    if backend is twisted_backend:
        takes |= REACTOR
        if "prefetch" in takes:
            takes |= HANDLER
    return takes


def made(backend: ModuleType, name: str, **given: Any) -> Any:
    kind = getattr(backend, name)
    return kind({}, **given) if name == "Authenticator" else kind(**given)


# Those have constructors of their own.
OTHERS = {"Request", "end_context", "Proxy", "SocketService"}


def test_every_class_is_looked_at() -> None:
    for backend in BACKENDS:
        assert set(TAKES) == set(backend.__all__) - OTHERS


@each_class
def test_a_constructor_shows_every_argument_with_its_default(
    backend: ModuleType, name: str
) -> None:
    shown = inspect.signature(getattr(backend, name)).parameters
    assert {each.name: each.default for each in shown.values()} == expected(backend, name)
    for each in shown.values():
        assert each.annotation not in ("", each.empty), each
        by_position = each.kind is each.POSITIONAL_OR_KEYWORD
        assert by_position == (each.name in BY_POSITION)


@each_class
def test_help_shows_every_argument_and_where_it_is_described(
    backend: ModuleType, name: str
) -> None:
    text = pydoc.plain(pydoc.render_doc(getattr(backend, name)))
    for argument in expected(backend, name):
        assert re.search(rf"\b{argument}: ['\w]", text)  # the type stands in quotes before 3.14
    assert "zmqbridge.arguments" in text


@each_class
@pytest.mark.filterwarnings("error")
def test_a_misspelt_argument_is_named_with_the_class_and_what_was_meant(
    backend: ModuleType, name: str
) -> None:
    for argument in set(expected(backend, name)) - BY_POSITION:
        misspelt = argument[:2] + argument[3:]
        with pytest.raises(TypeError) as raised:
            made(backend, name, **{misspelt: None})
        meant = f"{name}() has no argument {misspelt!r}: did you mean {argument!r}?"
        assert str(raised.value) == meant
    with pytest.raises(TypeError) as raised:
        made(backend, name, xyz=None)
    everything = ", ".join(inspect.signature(getattr(backend, name)).parameters)
    assert str(raised.value) == f"{name}() has no argument 'xyz': it takes {everything}"


@each_class
def test_what_only_others_take_is_refused_also_as_none(backend: ModuleType, name: str) -> None:
    everything = COMMON | SENDS | RECEIVES | REACTOR | HANDLER
    for argument in set(everything) - set(expected(backend, name)):
        with pytest.raises(TypeError, match=rf"^{name}\(\) has no argument {argument!r}: "):
            made(backend, name, **{argument: None})


def test_a_class_of_the_users_is_named_and_shown_as_it_is() -> None:
    class Plain(asyncio_backend.Pusher):  # type: ignore[misc]
        pass

    class Own(asyncio_backend.Pusher):  # type: ignore[misc]
        def __init__(self, place: int, **others: Any) -> None:
            super().__init__(**others)

    assert inspect.signature(Plain) == inspect.signature(asyncio_backend.Pusher)
    assert list(inspect.signature(Own).parameters) == ["place", "others"]
    for make in (
        lambda: Plain(conect="inproc://x"),  # type: ignore[call-arg]
        lambda: Own(1, conect="inproc://x"),
    ):
        with pytest.raises(TypeError, match=r"^(Plain|Own)\(\) has .*'conect': .*'connect'\?"):
            make()


# What shows `*args` or `**kwargs`, and why.
OPEN = {
    "ZmqRequestTimeoutError": "takes what an exception takes: txZMQ gives it the request's id",
}
MODULES = [asyncio_backend, core, proxies, security, sequences, testing, twisted_backend, txzmq]
CLASSES = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in MODULES
    for name in module.__all__
    if inspect.isclass(getattr(module, name))
}
# An enumeration, and exceptions that take a text, are made by Python itself.
MADE = [
    each
    for each in CLASSES.values()
    if not issubclass(each, enum.Enum)
    and (not issubclass(each, Exception) or "__init__" in vars(each))
]


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_no_constructor_of_a_public_class_hides_what_it_takes(kind: type) -> None:
    shown = inspect.signature(kind).parameters.values()
    hidden = [each for each in shown if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    assert bool(hidden) == (kind.__name__ in OPEN)


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_a_misspelt_argument_is_blamed_on_the_class_that_was_written(kind: type) -> None:
    takes = [*inspect.signature(kind).parameters]
    with pytest.raises(TypeError) as raised:
        kind(**{f"{takes[-1]}x" if takes else "x": None})
    assert str(raised.value).startswith(kind.__name__)


TAUGHT = [
    asyncio_backend.Proxy,
    twisted_backend.Proxy,
    twisted_backend.SocketService,
    proxies.Side,
    sequences.Sequence,
    ProxyService,
    *get_args(Security),
]


@pytest.mark.parametrize("kind", TAUGHT, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_a_class_that_is_no_socket_says_what_was_meant_too(kind: type) -> None:
    for argument in inspect.signature(kind).parameters:
        with pytest.raises(TypeError) as raised:
            kind(**{argument + "x": None})
        meant = f"{kind.__name__}() has no argument '{argument}x': did you mean {argument!r}?"
        assert str(raised.value) == meant


def test_joining_has_the_defaults_of_incoming() -> None:
    parameters = dict(inspect.signature(core.Incoming).parameters)
    fixed = {"asks", "by_tag"}
    rest = [each for name, each in parameters.items() if name not in fixed]
    assert [*inspect.signature(core.Joining).parameters.values()] == rest


def test_the_types_of_the_groups_are_those_of_the_constructor_that_does_the_work() -> None:
    names = {**vars(arguments), "zmq": zmq, "Security": Security}
    does = get_type_hints(Link.open, {**vars(sys.modules[Link.__module__]), **names})
    group = get_type_hints(arguments.SocketArguments, localns=names)
    assert {name: does[name] for name in group} == group


def test_each_argument_is_described_once() -> None:
    described = [
        line.split(":")[0].strip()
        for group in GROUPS
        for line in (inspect.getdoc(group) or "").partition("Attributes:")[2].splitlines()
        if line.startswith("    ") and line[4] != " "
    ]
    assert sorted(described) == sorted({name for group in GROUPS for name in group.__annotations__})


def test_the_two_names_of_one_call_show_one_text() -> None:
    for backend in BACKENDS:
        pusher, dealer = backend.Pusher, backend.Dealer
        assert pusher.push is dealer.send
        assert pusher.push_nowait is dealer.send_nowait
        text = pydoc.plain(pydoc.render_doc(pusher))
        assert "push = send(self" in text
        assert "push_nowait = send_nowait(self" in text


def test_nothing_is_loaded_for_it_before_somebody_asks() -> None:
    code = (
        "import sys, zmqbridge.asyncio_backend as a, zmqbridge.twisted_backend as t\n"
        "assert 'zmqbridge.arguments' not in sys.modules\n"
        "a.Pusher(), t.Pusher()\n"
        "assert 'zmqbridge.arguments' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)
