"""Each class of the package that claims one of Twisted's interfaces has all of it."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from twisted.application.service import Service
from twisted.plugin import getPlugins
from zope.interface import implementedBy, providedBy
from zope.interface.verify import verifyObject

import zmqbridge
from zmqbridge.testing import Network, SimReactor
from zmqbridge.testing._delayed import SimCall
from zmqbridge.twisted_backend import Puller
from zmqbridge.twisted_backend._base import Receiver
from zmqbridge.twisted_backend._driver import ReactorDriver
from zmqbridge.twisted_backend.proxyservice import ProxyService
from zmqbridge.twisted_backend.service import SocketService
from zmqbridge.txzmq import ZmqConnection, ZmqFactory

if TYPE_CHECKING:
    from tests.conftest import World

PACKAGE = Path(zmqbridge.__file__).parent


def of_package() -> Iterator[type[Any]]:
    """The classes of all modules that can be imported here."""
    for found in pkgutil.walk_packages([str(PACKAGE)], "zmqbridge."):
        if found.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(found.name)
        except ModuleNotFoundError as error:  # the module of an extra
            if str(error.name).startswith("zmqbridge"):
                raise
            continue
        for each in list(vars(module).values()):
            if inspect.isclass(each) and each.__module__ == found.name:
                yield each


def is_protocol(kind: type[Any]) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


CLAIMING = sorted(
    # Not of protocols: zope notes its answer in the class, and on 3.11 no object has it all then.
    {each for each in of_package() if not is_protocol(each) and list(implementedBy(each))},
    key=lambda kind: (kind.__module__, kind.__qualname__),
)


class Making:
    """What the objects are made of; `end` ends them."""

    def __init__(self, w: World) -> None:
        self.w = w
        self.factory = ZmqFactory()
        self.factory.reactor = w.reactor
        self.made: list[Any] = []

    def receiver(self, kind: type[Any]) -> Any:
        # A class without a pattern of its own is a base, of which a pattern is made.
        whole = kind if hasattr(kind, "kind") else type(kind.__name__, (kind,), {"kind": zmq.PULL})
        arguments = {"reactor": self.w.reactor}
        self.made.append(whole(**arguments) if whole is kind else whole(arguments))
        return self.made[-1]

    def connection(self, kind: type[Any]) -> Any:
        whole = kind if kind.socketType else type(kind.__name__, (kind,), {"socketType": zmq.PAIR})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of txZMQ's older names
            return whole(self.factory)

    def driver(self, kind: type[Any]) -> Any:
        # Some are bases themselves: then one that derives from it will do.
        of_sockets = [self.receiver(Puller)._driver]
        of_facade = [
            self.connection(each)._zmqbridge__driver
            for each in CLAIMING
            if issubclass(each, ZmqConnection)
        ]
        return next(each for each in of_sockets + of_facade if isinstance(each, kind))

    def simulated(self, kind: type[Any]) -> Any:
        self.made.append(kind(Network()))
        return self.made[-1]

    def call(self, kind: type[Any]) -> Any:
        return self.simulated(SimReactor).callLater(1, print)

    def socket_service(self, kind: type[Any]) -> Any:
        return kind(lambda reactor: (), reactor=self.w.reactor)

    def proxy_service(self, kind: type[Any]) -> Any:
        return kind("pubsub", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*", reactor=self.w.reactor)

    def end(self) -> None:
        for each in self.made:
            each.close()
        self.factory.shutdown()


# How an object of a class, or of one that derives from it, is made.
MAKERS: dict[type[Any], Callable[[Making, type[Any]], Any]] = {
    Receiver: Making.receiver,
    ZmqConnection: Making.connection,
    ReactorDriver: Making.driver,
    SimReactor: Making.simulated,
    SimCall: Making.call,
    SocketService: Making.socket_service,
    ProxyService: Making.proxy_service,
}


@pytest.mark.parametrize("w", ["select"], indirect=True)
@pytest.mark.parametrize(
    "kind", CLAIMING, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}"
)
async def test_what_a_class_claims_it_has(w: World, kind: type[Any]) -> None:
    makers = [maker for each, maker in MAKERS.items() if issubclass(kind, each)]
    assert makers, f"MAKERS: say how a {kind.__qualname__} is made"
    making = Making(w)
    try:
        it = makers[0](making, kind)
        assert isinstance(it, kind)
        for interface in implementedBy(kind):
            assert verifyObject(interface, it)
        if issubclass(kind, Service):  # some of what it claims it has only while it runs
            it.startService()
            assert all(verifyObject(interface, it) for interface in providedBy(it))
            await it.stopService()
    finally:
        making.end()


def test_each_that_claims_by_a_decorator_is_among_them() -> None:
    # A class within a function would not be found in its module.
    claiming = {each.__name__ for each in CLAIMING}
    decorated = [
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any("implementer" in ast.unparse(each) for each in node.decorator_list)
    ]
    assert decorated
    assert set(decorated) <= claiming


def test_each_plugin_has_what_it_claims() -> None:
    from twisted.application.service import IServiceMaker

    from twisted import plugins

    found: list[Any] = list(getPlugins(IServiceMaker))
    ours = [each for each in found if each.module.startswith("zmqbridge")]
    files = [
        each.name
        for each in pkgutil.iter_modules(plugins.__path__)
        if each.name.startswith("zmqbridge")
    ]
    assert (len(ours), files) == (1, ["zmqbridge_plugin"])
    for plugin in ours:
        assert all(verifyObject(interface, plugin) for interface in providedBy(plugin))
        assert plugin.options().synopsis
        assert callable(plugin.makeService)
