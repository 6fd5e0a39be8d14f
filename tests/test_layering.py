"""Which layer may import which: each layer is imported where what it must not use is blocked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import zmqbridge

if TYPE_CHECKING:
    from tests.conftest import Fresh

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


@pytest.mark.parametrize("module", BLOCKED)
def test_a_layer_does_without_what_is_above_it(fresh: Fresh, module: str) -> None:
    assert fresh(BLOCKER.format(blocked=BLOCKED[module], module=module)) == (0, "")


@pytest.mark.parametrize("module", sorted(path.stem for path in BRIDGE.glob("[a-z]*.py")))
def test_below_the_backends_no_loop_is_imported(fresh_beside_zmq: Fresh, module: str) -> None:
    # pyzmq itself imports asyncio in places, so here it is asked who did it.
    done = fresh_beside_zmq(
        f"import zmq, sys; before = set(sys.modules); import zmqbridge._bridge.{module}\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "assert not new & {'twisted', 'anyio', 'asyncio'}, new"
    )
    assert done == (0, "")


def test_the_facade_installs_no_reactor(fresh: Fresh) -> None:
    done = fresh(
        "import sys, zmqbridge.txzmq\n"
        "class Mine(zmqbridge.txzmq.ZmqFactory): pass\n"
        "Mine().shutdown()\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
        "from twisted.internet import asyncioreactor; asyncioreactor.install()"
    )
    assert done == (0, "")


@pytest.mark.parametrize("name", CORE)
def test_the_core_reads_no_clock(fresh: Fresh, name: str) -> None:
    done = fresh(
        f"import sys, zmqbridge.core.{name}\n"
        "for key, module in list(sys.modules.items()):\n"
        "    if key.startswith('zmqbridge'):\n"
        "        assert not {'time', 'monotonic', 'datetime', 'threading'} & set(vars(module)), key"
    )
    assert done == (0, "")


def test_the_core_loads_only_what_is_asked_for(fresh: Fresh) -> None:
    done = fresh(
        "import sys\n"
        "from zmqbridge.core import Inbox\n"
        "loaded = {name for name in sys.modules if name.startswith('zmqbridge.core.')}\n"
        "assert loaded == {'zmqbridge.core.inbox', 'zmqbridge.core.framing'}, loaded"
    )
    assert done == (0, "")
