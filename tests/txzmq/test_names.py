"""A subclass may have names of its own, whatever they are: the facade adds next to none."""

from __future__ import annotations

import builtins
import inspect
import json
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from zmqbridge import MalformedMessage
from zmqbridge.txzmq import (
    ZmqDealerConnection,
    ZmqEndpoint,
    ZmqFactory,
    ZmqREPConnection,
    ZmqREQConnection,
    ZmqRequestTimeoutError,
)

if TYPE_CHECKING:
    from tests.conftest import Make, World

ANNOUNCED = {"security", "statistics", "drain", "topicSep", "publicationFormat", "exactTags"}
KINDS = "ZmqREQConnection ZmqREPConnection ZmqSubConnection ZmqPullConnection ZmqRouterConnection"

# The names that instances of a package's classes have. In a process of its own, because importing
# the original installs a reactor.
COLLECTOR = f"""
import importlib, json, sys
package = importlib.import_module(sys.argv[1])
factory = package.ZmqFactory()
names = {{"ZmqFactory": dir(factory)}}
for kind in {KINDS!r}.split():
    names[kind] = dir(getattr(package, kind)(factory))
factory.shutdown()
print(json.dumps(names))
"""

# Others that were in the way once, or are likely in programs.
LIKELY = """
    _running _now _reactor _pump _alarm _reject _timer _call_at _call_soon _checkOpen _readSome
    _setOptions _stop_reading _handle_received _home_thread _drain _room_in _wake _disown way_in
    _close _closed _handle _handler _handlers _report _deliver _lost _ids _table _routes _unhandled
    _malformed _socket _context _factory _queue _send _connection _connections _deferred _task
    driver _driver kind _kind requests routes table timers state status log logger name id
"""


def names_of(package: str) -> dict[str, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", COLLECTOR, package], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return {kind: set(names) for kind, names in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def original() -> dict[str, set[str]]:
    return names_of("txzmq")


def test_the_facade_has_no_other_names_than_the_original(original: dict[str, set[str]]) -> None:
    facade = names_of("zmqbridge.txzmq")
    for kind, names in original.items():
        new = {name for name in facade[kind] - names if not name.startswith("__")}
        ours = {name for name in new if name.startswith("_zmqbridge__")}
        assert new - ours <= ANNOUNCED, kind
        assert len(ours) <= 2, kind


class Mine:
    """What a program may keep under a name: it is false, and cannot be called."""

    def __bool__(self) -> bool:
        return False


def with_name(base: type[Any], name: str, how: str) -> type[Any]:
    """A subclass of `base` that has something of its own under a name."""

    class Sub(base):  # type: ignore[misc]  # whichever it is
        def __init__(self, *args: Any) -> None:
            if how == "before":
                setattr(self, name, Mine())
            base.__init__(self, *args)
            if how == "after":
                setattr(self, name, Mine())

    if how == "class attribute":
        setattr(Sub, name, Mine())
    if how == "method":
        setattr(Sub, name, lambda self, *args, **kwargs: None)
    return Sub


def tried(original: set[str]) -> list[str]:
    """Every name that anything private of ours has, and those that are likely."""
    found = {*ANNOUNCED, *LIKELY.split()}
    for kind in (ZmqREQConnection._zmqbridge__driver, ZmqREPConnection._zmqbridge__driver):
        for base in kind.__mro__[:-1]:
            found |= vars(base).keys()
            for made in filter(inspect.isfunction, vars(base).values()):
                found |= set(made.__code__.co_names)
    found = {name for name in found if name.isidentifier() and not hasattr(builtins, name)}
    return sorted(
        name for name in found - original if not name.startswith("__") and name != "topicSep"
    )


@pytest.mark.parametrize("how", ["class attribute", "before", "after", "method"])
@pytest.mark.parametrize("w", ["sim-twisted"], indirect=True)
async def test_no_name_of_a_subclass_is_in_the_way(
    w: World, how: str, original: dict[str, set[str]], logged: list[tuple[str, MalformedMessage]]
) -> None:
    names = tried(original["ZmqREQConnection"] | original["ZmqREPConnection"])
    assert len(names) > 100
    for name in names:
        free = name not in original["ZmqFactory"]
        factory = (with_name(ZmqFactory, name, how) if free else ZmqFactory)()
        factory.reactor = w.reactor
        with warnings.catch_warnings():
            if name == "security":
                warnings.simplefilter("ignore", UserWarning)
            server = with_name(ZmqREPConnection, name, how)(
                factory, ZmqEndpoint("bind", "inproc://names")
            )
            client = with_name(ZmqREQConnection, name, how)(
                factory, ZmqEndpoint("connect", "inproc://names")
            )
        server.gotMessage = lambda request, *parts: (
            parts != (b"quiet",) and server.reply(request, *parts)  # noqa: B023
        )
        assert await client.sendMsg(b"x", timeout=5) == [b"x"], name
        with pytest.raises(ZmqRequestTimeoutError):
            await client.sendMsg(b"quiet", timeout=0.001).addTimeout(5, w.reactor)
        dealer = ZmqDealerConnection(factory, ZmqEndpoint("connect", "inproc://names"))
        dealer.sendMsg(b"no empty part")
        await w.until(lambda: logged)
        assert await client.sendMsg(b"y", timeout=5) == [b"y"], name
        factory.shutdown()
        assert [type(error) for _, error in logged] == [MalformedMessage], (name, logged)
        logged.clear()
    calls = [call for call in w.reactor.getDelayedCalls() if "zmqbridge" in repr(call)]
    assert calls == []


def test_a_security_that_is_none_of_ours_is_a_name_of_the_programs(
    make: Make,
) -> None:
    class Labelled(ZmqREQConnection):
        security = "high"  # type: ignore[assignment]

    with pytest.warns(UserWarning, match="security is str.*this connection is not secured"):
        make(Labelled)
