"""The facade has every name, signature, default and base class of txZMQ 1.0.0."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ELSEWHERE = "belongs to the standard library, where it is found"
SHOWN = "shows the arguments that it passes on, where the original has *args and **kwargs"
DIFFERENCES = {
    "compat.sys": ELSEWHERE,
    "connection.namedtuple": ELSEWHERE,
    "pubsub.unicode_literals": ELSEWHERE,
    "req_rep.unicode_literals": ELSEWHERE,
    "req_rep.uuid": ELSEWHERE,
    "req_rep.ZmqREPConnection()": SHOWN,
    "req_rep.ZmqREQConnection()": SHOWN,
}
if sys.implementation.name == "pypy":
    DIFFERENCES["req_rep.ZmqRequestTimeoutError()"] = "PyPy shows how an exception is made"
UNRELEASED = {"connection.ZmqConnection.topicSep": repr(b"\0")}

# Runs in a process of its own, because importing the original installs a reactor. It prints what
# a package has: paths of names in modules, classes and instances, each with its shape as a text.
COLLECTOR = """
import importlib, inspect, json, re, sys, warnings, zmq

package = sys.argv[1]
shapes = {}

def shape(value):
    if inspect.isfunction(value) or inspect.ismethod(value):
        parameters = inspect.signature(value).parameters.values()
        call = ", ".join(f"{p.kind.name} {p.name}={p.default!r}" for p in parameters)
        return "call " + re.sub("0x[0-9a-f]+", "somewhere", call)
    if value is None or isinstance(value, (int, str, bytes, tuple, list, dict, set)):
        return repr(value) if "Zmq" not in repr(value) else type(value).__name__
    return "module" if inspect.ismodule(value) else "thing"

def names(thing):
    return [name for name in [*dir(thing), "reactor"] if hasattr(thing, name)]

def ours(value):
    return inspect.isclass(value) and value.__module__.startswith(package)

for module_name in "compat connection factory pubsub pushpull req_rep router_dealer".split():
    module = importlib.import_module(f"{package}.{module_name}")
    for name in names(module):
        path, value = f"{module_name}.{name}", getattr(module, name)
        if name.startswith("_"):
            continue
        shapes[path] = value.__name__ if ours(value) else shape(value)
        if ours(value) and value.__module__ == module.__name__:
            for base in value.__mro__:
                if base.__name__.startswith("Zmq") or base is Exception:
                    shapes[f"{path} is a {base.__name__}"] = ""
            for attribute in names(value):
                if not attribute.startswith("__"):
                    shapes[f"{path}.{attribute}"] = shape(getattr(value, attribute))
            if inspect.isfunction(value.__init__):
                shapes[f"{path}()"] = shape(value.__init__)

whole = importlib.import_module(package)
for name in names(whole):
    if not name.startswith("_") and name != "reactor":
        shapes[name] = shape(getattr(whole, name))
for name in whole.__all__:
    shapes[f"{name} in __all__"] = ""

warnings.simplefilter("ignore", DeprecationWarning)
factory = whole.ZmqFactory()
modules = [m for name, m in sys.modules.items() if name.startswith(package)]
classes = {c for m in modules for c in vars(m).values() if ours(c) and hasattr(c, "socketType")}
for kind in classes:
    made = type(kind.__name__, (kind,), {"socketType": kind.socketType or zmq.PAIR})(factory)
    for name in names(made):
        if not name.startswith("__") and name != "fd":
            shapes[f"a {kind.__name__}.{name}"] = shape(getattr(made, name))
shapes["a ZmqFactory.connections"] = type(factory.connections).__name__
shapes["a ZmqFactory.context"] = isinstance(factory.context, zmq.Context)
factory.shutdown()
print(json.dumps(shapes))
"""


def shapes_of(package: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", COLLECTOR, package], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def facade() -> dict[str, str]:
    return shapes_of("zmqbridge.txzmq")


def test_the_facade_has_all_that_the_original_has(facade: dict[str, str]) -> None:
    original = shapes_of("txzmq")
    assert len(original) > 400  # the collector sees something
    differing = {
        path: (shape, facade.get(path, "is not there"))
        for path, shape in original.items()
        if facade.get(path) != shape and not inherits_a_difference(path)
    }
    assert differing == {}
    assert [path for path in DIFFERENCES if facade.get(path) == original[path]] == []


def inherits_a_difference(path: str) -> bool:
    attributes = tuple("." + each.rpartition(".")[2] for each in DIFFERENCES if each.count(".") > 1)
    return path in DIFFERENCES or path.endswith(attributes)


@pytest.mark.parametrize("path", UNRELEASED)
def test_the_facade_has_what_the_unreleased_branch_adds(facade: dict[str, str], path: str) -> None:
    assert facade[path] == UNRELEASED[path]
