"""The API of txZMQ on zmqbridge: change ``import txzmq`` to ``from zmqbridge import txzmq``.

Every public name, signature and override point of txZMQ 1.0.0 and of its main branch is here, in
submodules of the same names. What behaves differently, because it was a bug, is listed in
docs/txzmq.md. Importing this installs no reactor.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder

from zmqbridge.txzmq.connection import ZmqConnection, ZmqEndpoint, ZmqEndpointType
from zmqbridge.txzmq.factory import ZmqFactory
from zmqbridge.txzmq.pubsub import ZmqPubConnection, ZmqSubConnection
from zmqbridge.txzmq.pushpull import ZmqPullConnection, ZmqPushConnection
from zmqbridge.txzmq.req_rep import ZmqREPConnection, ZmqREQConnection, ZmqRequestTimeoutError
from zmqbridge.txzmq.router_dealer import ZmqDealerConnection, ZmqRouterConnection

__all__ = [
    "ZmqConnection",
    "ZmqDealerConnection",
    "ZmqEndpoint",
    "ZmqEndpointType",
    "ZmqFactory",
    "ZmqPubConnection",
    "ZmqPullConnection",
    "ZmqPushConnection",
    "ZmqREPConnection",
    "ZmqREQConnection",
    "ZmqRequestTimeoutError",
    "ZmqRouterConnection",
    "ZmqSubConnection",
]

SUBMODULES = (
    "compat",
    "connection",
    "factory",
    "pubsub",
    "pushpull",
    "req_rep",
    "router_dealer",
)


def install() -> None:
    """Make ``import txzmq``, and any submodule of it, mean this package in this process.

    Calling it twice is fine. ``txzmq.test``, which txZMQ ships, stays the original's, and exists
    only if the original is installed.

    Raises:
        ImportError: the original is imported already, so parts of the program would go on using it;
            call this before anything imports txzmq.
    """
    ours = sys.modules[__name__]
    if sys.modules.get("txzmq", ours) is not ours:
        raise ImportError(
            "the original txzmq is imported already; call zmqbridge.txzmq.install() before that"
        )
    sys.modules["txzmq"] = ours
    for name in SUBMODULES:
        sys.modules[f"txzmq.{name}"] = importlib.import_module(f"{__name__}.{name}")
    original = PathFinder.find_spec("txzmq")
    for folder in (original and original.submodule_search_locations) or ():
        if folder not in __path__:
            __path__.append(folder)  # after our own folder, so only `test` is found in this one
