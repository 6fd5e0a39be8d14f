"""Which layer may import which: each layer is imported where what it must not use is blocked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import zmqbridge

LOOPS = ["twisted", "anyio", "asyncio"]
PACKAGE = Path(zmqbridge.__file__).parent
CORE = sorted({path.stem for path in (PACKAGE / "core").glob("*.py")} - {"__init__"})
BRIDGE = PACKAGE / "_bridge"

BLOCKED = {
    "zmqbridge": ["zmq", *LOOPS],
    "zmqbridge.errors": ["zmq", *LOOPS],
    "zmqbridge.security": ["zmq", *LOOPS],
    "zmqbridge.proxies": ["zmq", *LOOPS],
    "zmqbridge.sequences": ["zmq", *LOOPS],
    "zmqbridge.asyncio_backend._proxy": ["twisted", "zmqbridge.twisted_backend"],
    "zmqbridge.twisted_backend._proxy": ["anyio", "zmqbridge.asyncio_backend"],
    "zmqbridge.core": ["zmq", "socket", *LOOPS],
    "zmqbridge.arguments": ["zmq", *LOOPS],
    **{f"zmqbridge.core.{name}": ["zmq", "socket", *LOOPS] for name in CORE},
    "zmqbridge.asyncio_backend": ["zmq", *LOOPS],  # each of its names is loaded when it is used
    "zmqbridge.twisted_backend": ["zmq", *LOOPS],
    **{
        f"zmqbridge.asyncio_backend.{name}": ["twisted", "zmqbridge.twisted_backend"]
        for name in ("_sockets", "_requester", "_publisher", "_publications", "_authenticator")
    },
    **{
        f"zmqbridge.twisted_backend.{name}": ["anyio", "zmqbridge.asyncio_backend"]
        for name in ("_sockets", "_publisher", "_publications", "_authenticator", "service")
    },
    "zmqbridge.txzmq": ["anyio", "zmqbridge.asyncio_backend", "zmqbridge._cli"],
}

BLOCKER = """
import sys
for name in [n for n in sys.modules if n.partition(".")[0] in {blocked!r}]:
    del sys.modules[name]
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if any(name == b or name.startswith(b + ".") for b in {blocked!r}):
            raise ImportError(f"{{name}} is blocked here")
sys.meta_path.insert(0, Blocker())
import {module}
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=50
    )


@pytest.mark.parametrize("module", BLOCKED)
def test_a_layer_does_without_what_is_above_it(module: str) -> None:
    done = python(BLOCKER.format(blocked=BLOCKED[module], module=module))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", sorted(path.stem for path in BRIDGE.glob("[a-z]*.py")))
def test_below_the_backends_no_loop_is_imported(module: str) -> None:
    # pyzmq itself imports asyncio in places, so here it is asked who did it.
    done = python(
        f"import zmq, sys; before = set(sys.modules); import zmqbridge._bridge.{module}\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "assert not new & {'twisted', 'anyio', 'asyncio'}, new"
    )
    assert done.returncode == 0, done.stderr


def test_the_facade_installs_no_reactor() -> None:
    done = python(
        "import sys, zmqbridge.txzmq\n"
        "class Mine(zmqbridge.txzmq.ZmqFactory): pass\n"
        "Mine()\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
        "from twisted.internet import asyncioreactor; asyncioreactor.install()"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", CORE)
def test_the_core_reads_no_clock(name: str) -> None:
    done = python(
        f"import sys, zmqbridge.core.{name}\n"
        "for key, module in list(sys.modules.items()):\n"
        "    if key.startswith('zmqbridge'):\n"
        "        assert not {'time', 'monotonic', 'datetime', 'threading'} & set(vars(module)), key"
    )
    assert done.returncode == 0, done.stderr


def test_the_core_loads_only_what_is_asked_for() -> None:
    done = python(
        "import sys\n"
        "from zmqbridge.core import Inbox\n"
        "loaded = {name for name in sys.modules if name.startswith('zmqbridge.core.')}\n"
        "assert loaded == {'zmqbridge.core.inbox', 'zmqbridge.core.framing'}, loaded"
    )
    assert done.returncode == 0, done.stderr
