"""Proxying: what a proxy is on every loop; its engine is asked in threads, as that blocks."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import zmq

from zmqbridge._bridge import misspelt, proxysockets
from zmqbridge._bridge.context import shared
from zmqbridge._bridge.guards import calling_line
from zmqbridge._bridge.linked import only_async
from zmqbridge._bridge.proxyengine import Authenticate, Engine
from zmqbridge.errors import SocketClosed, UsedAfterFork, ZmqBridgeError
from zmqbridge.proxies import ProxyStatistics

Result = TypeVar("Result")


class Proxying:
    """Passes messages between two sockets, in a thread of its own, outside the loop.

    It opens when it is made, and works also while the loop does not run. It has a libzmq context
    of its own, `context`, where sockets that reach it by inproc and an authenticator belong.

    Args:
        kind: ``"requests"`` (ROUTER and DEALER), ``"pubsub"`` (XSUB and XPUB) or ``"pipeline"``
            (PULL and PUSH).
        front: where clients, publishers or pushers connect: one address or several to bind to, or
            a `zmqbridge.proxies.Side`.
        back: where workers, subscribers or pullers connect, likewise.
        capture: where all that passes is published, for SUB sockets; None is nowhere. A reader of
            it that is slow misses messages, and does not hold up the proxy.
        authenticate: makes an authenticator in the context of the proxy; None makes none.

    Raises:
        TypeError, ValueError: the kind or a side is not valid.
        AddressError: an address is malformed, in use, or not of this host.
        OptionError: an option cannot be set, or would end the proxy.
        ResourcesExhausted: there is no room for its sockets.
        AuthenticationMissing: a side asks an authenticator about its clients, and there are no
            policies.
    """

    if not TYPE_CHECKING:
        __new__, __signature__ = misspelt.new, misspelt.ShownOwn()

    def __init__(
        self,
        kind: str,
        front: Any,
        back: Any,
        capture: Any = None,
        authenticate: Authenticate | None = None,
    ) -> None:
        self._made = calling_line()
        self._closing: Future[None] | None = None
        self._kind = kind
        sides = {"front": front, "back": back, "capture": capture}
        simulated: Any = shared.stand_in(None)  # the context of the simulated process, or None
        make = Engine if simulated is None else simulated.proxy_engine
        self._engine: Engine = make(kind, sides, authenticate)
        sockets = self._engine.sockets
        self._places = [proxysockets.addresses_of(each) for each in sockets[:3]]

    @property
    def kind(self) -> str:
        """What it was made as."""
        return self._kind

    @property
    def front_addresses(self) -> tuple[str, ...]:
        """Where the front is bound and connected; a wildcard port is shown as the real one."""
        return tuple(self._places[0])

    @property
    def back_addresses(self) -> tuple[str, ...]:
        """The same of the back."""
        return tuple(self._places[1])

    @property
    def capture_addresses(self) -> tuple[str, ...]:
        """The same of the capture."""
        return tuple(self._places[2])

    @property
    def context(self) -> zmq.Context[Any]:
        """Its own context, which ends with it."""
        return self._engine.context

    @property
    def paused(self) -> bool:
        """Whether it was paused."""
        return self._engine.paused

    @property
    def closed(self) -> bool:
        """Whether it was closed, by you or because it has failed; or never made."""
        engine = self._made_engine()
        return engine is None or self._closing is not None or engine.ended.done()

    def ask_statistics(self) -> Future[ProxyStatistics]:
        """The same as `statistics`, for any thread: for one that has no loop, and may wait.

        Returns:
            A future of `concurrent.futures`, which is done after a second at the latest.

        Raises:
            ProxyFailed: it has ended by itself.
            SocketClosed: it was closed.
        """
        return self._call(self._engine.statistics)

    def _made_engine(self) -> Engine | None:
        """None if the constructor has raised."""
        return vars(self).get("_engine")

    def _call(self, method: Callable[[], Result]) -> Future[Result]:
        if self._engine.forked:
            raise UsedAfterFork(f"{self!r} belongs to the parent process: make a new one here")
        if self._closing is not None:
            raise SocketClosed(f"{self!r}: make a new one")
        if self._engine.ended.done():
            self._engine.ended.result()
        return self._engine.call(method)

    def _stop(self) -> Future[None]:
        engine = self._made_engine()
        if engine is None or engine.forked:
            self._closing = Future()
            self._closing.set_result(None)
        elif self._closing is None:
            if engine.authenticator is not None:
                with suppress(ZmqBridgeError):  # in another thread its context ends it
                    engine.authenticator.close()
            self._closing = engine.call(engine.stop)
        return self._closing

    def __enter__(self) -> NoReturn:
        raise only_async(self)

    def __exit__(self, *exc_info: object) -> None:
        """It is never entered."""

    def __repr__(self) -> str:
        if self._made_engine() is None:
            return f"<{type(self).__name__} not made>"
        where = " - ".join(", ".join(each) for each in self._places[:2])
        return f"<{type(self).__name__} {self._kind} {'closed' if self.closed else where}>"

    # When the process ends, the names of this module may be None already (CPython without the GIL).
    def __del__(self, warn: Any = warnings.warn, is_finalizing: Any = sys.is_finalizing) -> None:
        if self.closed or self._engine.forked:
            return
        place = "{}:{}".format(*self._made)
        warn(f"unclosed {self!r}, made in {place}", ResourceWarning, stacklevel=2, source=self)
        if not is_finalizing():  # when no thread would run any more
            self._stop()
