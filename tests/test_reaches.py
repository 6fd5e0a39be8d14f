"""No object takes what is private in another one, but for the exceptions that are listed here.

It counts as private what begins with one underscore: an attribute (``that._name``), a string
(``getattr(that, "_name")``, ``vars(that)["_name"]``, ``attrgetter("_name")``), and a name that is
imported from another package.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import zmqbridge

PACKAGE = Path(zmqbridge.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Why a name that is private elsewhere is used all the same.
FRAME = "asyncio's loops keep their thread there; a method of ours would be a frame a message"
CPYTHON = "CPython's own: there is no public name for it"
TASK = "of asyncio's task, in the trial at import, which decides whether tasks can be stepped"
PYZMQ = "pyzmq's own: there is no public name for it"
HANDLES = "of asyncio's handles, which a loop without a selector calls itself"
POLLER = "where a loop keeps its poller, which a forked child must not share; nothing public tells"
LOOP = "of Twisted's asyncio reactor: which loop runs it; nothing public tells"
READY = "a loop's own queue: a turn stands by in it while messages are delivered"
DEBUG = "whether a loop names its callbacks; `get_debug` would be a frame for each waiter"
TRACEBACK = "what Twisted logs when a Deferred is freed with a failure"
SIGNAL = "whether a signal has stopped Twisted's reactor; nothing public tells"
TXZMQ = "part of txZMQ's API, which users override and replace"
LINK = "our name on each object with a link; read so because its constructor may have raised"
HANDLER = "its own: `dispatch` reads it before each call, as a handler may replace it"
TRIO = "trio's own: which task waits for what, and in which order tasks run; nothing public tells"

EXCEPTIONS: dict[str, dict[str, str]] = {
    "_bridge/context.py": {"_current_frames": CPYTHON, "_sockets": PYZMQ},
    "_bridge/exhaustion.py": {"_sockets": PYZMQ},
    "_bridge/guards.py": {"_current_frames": CPYTHON, "_getframe": CPYTHON, "_shadow": PYZMQ},
    "_bridge/inherited.py": dict.fromkeys(
        ("_asyncioEventloop", "_fd_to_key", "_poller", "_reads", "_selector", "_writes"), POLLER
    ),
    "_bridge/link.py": {"_shadow": PYZMQ},
    "_bridge/linked.py": {"_link": LINK},
    "_bridge/options.py": {"_opt_type": PYZMQ},
    "asyncio_backend/_driver.py": {"_ready": READY},
    "asyncio_backend/_publisher.py": {"_thread_id": FRAME},
    "asyncio_backend/_receiver.py": {"_thread_id": FRAME},
    "asyncio_backend/_requester.py": {"_thread_id": FRAME},
    "asyncio_backend/_waiter.py": {
        "_debug": DEBUG, "_log_destroy_pending": TASK, "_run": HANDLES, "_swap_current_task": TASK,
    },
    "asyncio_backend/_sockets.py": {"_thread_id": FRAME},
    "testing/_asyncio_world.py": {
        "_callback": HANDLES, "_context": HANDLES, "_run": HANDLES, "_scheduled": HANDLES,
    },
    "testing/_conveniences.py": {"_deserialize": PYZMQ},
    "testing/_trio_world.py": dict.fromkeys(
        ("_ALLOW_DETERMINISTIC_SCHEDULING", "_abort_func", "_attempt_abort", "_cancel_status",
         "_core", "_counter", "_r", "_run"), TRIO,
    ),
    "twisted_backend/_base.py": {"_handler": HANDLER},
    "twisted_backend/_reactors.py": {"_asyncioEventloop": LOOP},
    "twisted_backend/_sending.py": {"_debugInfo": TRACEBACK},
    "twisted_backend/_signalled.py": {"_exitSignal": SIGNAL},
    "txzmq/_reader.py": {"_readMultipart": TXZMQ},
    "txzmq/_req_rep_drivers.py": {
        "_cancel": TXZMQ, "_debugInfo": TRACEBACK, "_requests": TXZMQ, "_routingInfo": TXZMQ,
        "_timeoutRequest": TXZMQ,
    },
}  # fmt: skip
# Our marks on objects of other libraries and of users: by their names they are nobody else's.
OURS = "_zmqbridge_"
# Public in spite of their underscore: a NamedTuple's, how a process ends at once, and two names of
# the `__all__` of asyncio.events.
DOCUMENTED = {
    "_asdict", "_exit", "_fields", "_replace", "_get_running_loop", "_set_running_loop",
}  # fmt: skip

MODULES = {path.stem for path in SOURCES}


def private(name: str) -> bool:
    """Whether a name belongs to one object alone."""
    return (
        name.startswith("_")
        and name.strip("_").isidentifier()
        and not name.startswith(("__", OURS))
        and name not in DOCUMENTED
    )


def of_itself(tree: ast.Module) -> Iterator[ast.AST]:
    """The strings by which a class or an object names its own attributes, and parts of texts."""
    for each in ast.walk(tree):
        if isinstance(each, ast.JoinedStr):
            yield from each.values
        elif isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "__slots__":
            yield from ast.walk(each.value)
        elif isinstance(each, ast.Call) and each.args:
            owner = each.func.value if isinstance(each.func, ast.Attribute) else each.args[0]
            if ast.unparse(owner) in ("self", "vars(self)"):
                yield from each.args


def reaches(tree: ast.Module) -> set[tuple[int, str]]:
    """Where a private name is taken from anything but the object or the class itself: (line, name).

    Each string that could be such a name counts, except a string that is put together when the
    program runs.
    """
    own = {"self", "cls"} | {each.name for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}
    own.add("super()")
    known = set(of_itself(tree))
    found: list[tuple[int, str]] = []
    for each in ast.walk(tree):
        if isinstance(each, ast.Attribute):
            if private(each.attr) and ast.unparse(each.value) not in own:
                found.append((each.lineno, each.attr))
        elif isinstance(each, ast.Constant) and isinstance(each.value, str) and each not in known:
            parts = each.value.split(".")
            if all(map(str.isidentifier, parts)) and parts[0] != "zmqbridge":
                found += [(each.lineno, part) for part in parts if part not in MODULES]
        elif isinstance(each, ast.ImportFrom) and not f"{each.module}.".startswith("zmqbridge."):
            found += [(each.lineno, name.name) for name in each.names]
    return {(line, name) for line, name in found if private(name)}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_object_reaches_for_what_is_private_in_another(path: Path) -> None:
    allowed = EXCEPTIONS.get(name_of(path), {})
    found = reaches(ast.parse(path.read_text(encoding="utf-8")))
    assert {f"line {line}: {name}" for line, name in found if name not in allowed} == set()


def test_each_exception_is_needed() -> None:
    for name, allowed in EXCEPTIONS.items():
        found = reaches(ast.parse((PACKAGE / name).read_text(encoding="utf-8")))
        assert {each for _, each in found} >= allowed.keys(), name


@pytest.mark.parametrize(
    "source",
    [
        "that._x", "that._x = 1", "self.that._x",
        "getattr(that, '_x', None)", "setattr(that, '_x', 1)", "hasattr(that, '_x')",
        "vars(that)['_x']", "vars(that).get('_x')", "vars(that).setdefault('_x', 1)",
        "'_x' in vars(that)", "attrgetter('_x')", "attrgetter('y._x')", "methodcaller('_x')",
        "that.__dict__['_x']", "X = '_x'", "object.__setattr__(that, '_x', 1)",
        "{'_x'} <= vars(that).keys()",
        "from asyncio import _x",
    ],
)  # fmt: skip
def test_a_reach_is_seen_however_it_is_written(source: str) -> None:
    assert {name for _, name in reaches(ast.parse(source))} == {"_x"}


@pytest.mark.parametrize(
    "source",
    [
        "self._x", "cls._x", "super()._x", "getattr(self, '_x')", "vars(self).get('_x')",
        "class C: ...\nC._x", "that.x", "that.__x__", "getattr(that, 'x')", "that._replace(x=1)",
        "vars(that)['_zmqbridge_x']", "from zmqbridge.core import _x", "'zmqbridge._bridge.link'",
        "'_driver'", "class C:\n    __slots__ = ('_x',)", "'a _x'", "'_'", "f'{that}_x'",
    ],
)  # fmt: skip
def test_what_is_ones_own_is_no_reach(source: str) -> None:
    assert reaches(ast.parse(source)) == set()
