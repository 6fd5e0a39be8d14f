"""ProxyService: a proxy as an IService, and ``twist zmq-proxy``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from zmqbridge.proxies import KINDS, Side
from zmqbridge.twisted_backend._reactors import global_reactor
from zmqbridge.twisted_backend.proxy import Proxy

if TYPE_CHECKING:
    from zmqbridge.core.zap import Policy


class ProxyService(Service):
    """A proxy that opens when the service starts, and has ended when the service has stopped.

    Attributes:
        proxy: the `Proxy` while the service runs, otherwise None.

    Args:
        kind, front, back, capture, policies: as of a `Proxy`.
        reactor: None is the global one.
        stop_reactor: whether the reactor stops when the proxy fails, so that a supervisor starts
            the process again.
    """

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        kind: str,
        front: Any,
        back: Any,
        capture: Any = None,
        *,
        policies: Mapping[str, Policy] | None = None,
        reactor: Any = None,
        stop_reactor: bool = False,
    ) -> None:
        self._arguments = (kind, front, back, capture)
        self._policies = policies
        self._reactor = reactor
        self._stop_reactor = stop_reactor
        self.proxy: Proxy | None = None

    def startService(self) -> None:
        """Open the proxy; raises as `Proxy` does, and then the service does not run."""
        reactor = global_reactor() if self._reactor is None else self._reactor
        self.proxy = proxy = Proxy(*self._arguments, policies=self._policies, reactor=reactor)
        super().startService()  # type: ignore[no-untyped-call]
        self.log.info(
            "{kind} from {front} to {back}",
            kind=proxy.kind,
            front=", ".join(proxy.front_addresses),
            back=", ".join(proxy.back_addresses),
        )

        def failed(_: Failure) -> None:  # which the proxy has logged
            if self._stop_reactor and self.running:
                reactor.stop()

        proxy.ended().addErrback(failed)

    def stopService(self) -> Deferred[None] | None:
        """End the proxy; fires when it has ended, in a fraction of a second."""
        super().stopService()  # type: ignore[no-untyped-call]
        proxy, self.proxy = self.proxy, None
        return None if proxy is None else proxy.aclose()


class Options(usage.Options):
    """What ``twist zmq-proxy`` takes."""

    synopsis = "[options]"
    optParameters: ClassVar[list[Any]] = [
        ["kind", "k", "requests", f"one of {', '.join(KINDS)}"],
        ["front", "f", None, "where clients, publishers or pushers connect"],
        ["back", "b", None, "where workers, subscribers or pullers connect"],
        ["capture", "c", None, "where all that passes is published, for SUB sockets"],
    ]
    longdesc = (
        "Passes messages between two addresses, to which it binds; connect:tcp://host:port "
        "connects, and commas separate several."
    )

    def postOptions(self) -> None:
        if self["kind"] not in KINDS:
            raise usage.UsageError(f"--kind: give one of {', '.join(KINDS)}")
        for name in ("front", "back", "capture"):
            if self[name] is None:
                if name != "capture":
                    raise usage.UsageError(f"--{name}: give an address, as tcp://127.0.0.1:5555")
                continue
            try:
                self[name] = Side.parse(self[name])
            except ValueError as error:
                raise usage.UsageError(f"--{name}: {error}") from None


def makeService(options: Any) -> ProxyService:
    """The service of ``twist zmq-proxy``; the process ends when its proxy fails."""
    return ProxyService(
        options["kind"], options["front"], options["back"], options["capture"], stop_reactor=True
    )
