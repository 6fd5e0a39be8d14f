"""ProxyService: a proxy as an IService, and ``twist zmq-proxy``."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Generator, Mapping
from json import dumps
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from zmqbridge._bridge import misspelt
from zmqbridge._cli.ending import Refused
from zmqbridge._cli.guarding import guarded, marked
from zmqbridge._cli.parsing import at_least_one, positive
from zmqbridge.core._checks import check_timeout
from zmqbridge.errors import ZmqBridgeError
from zmqbridge.proxies import KINDS, Side
from zmqbridge.twisted_backend._proxy import Proxy
from zmqbridge.twisted_backend._reactors import global_reactor

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

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
        statistics: after how many seconds, again and again, the log has a line of what has passed;
            None is never.
    """

    log: ClassVar[Logger] = Logger()

    if not TYPE_CHECKING:
        __new__, __signature__ = misspelt.new, misspelt.ShownOwn()

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
        statistics: float | None = None,
    ) -> None:
        self._arguments = (kind, front, back, capture)
        self._policies = policies
        self._reactor = reactor
        self._stop_reactor = stop_reactor
        self._every = statistics if statistics is None else check_timeout(statistics)
        self._telling: IDelayedCall | None = None
        self.proxy: Proxy | None = None
        self._stopped: Proxy | None = None

    def startService(self) -> None:
        """Open the proxy; raises as `Proxy` does, and then the service does not run.

        One that runs already is left as it is.
        """
        if self.running:
            return
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
        self._tell_later(proxy, reactor)

    def _tell_later(self, proxy: Proxy, reactor: Any) -> None:
        if self._every is not None and proxy is self.proxy and not proxy.closed:
            self._telling = reactor.callLater(self._every, self._tell, proxy, reactor)

    @inlineCallbacks
    def _tell(self, proxy: Proxy, reactor: Any) -> Generator[Deferred[Any], Any, None]:
        try:
            line = dumps((yield proxy.statistics())._asdict())
        except ZmqBridgeError as error:  # its peer takes nothing, or it has ended
            line = str(error)
        self.log.info("{kind}: {line}", kind=proxy.kind, line=line)
        self._tell_later(proxy, reactor)

    def stopService(self) -> Deferred[None] | None:
        """End the proxy; fires when it has ended, in a fraction of a second."""
        super().stopService()  # type: ignore[no-untyped-call]
        proxy = self._stopped = self.proxy or self._stopped
        self.proxy = None
        telling, self._telling = self._telling, None
        if telling is not None and telling.active():
            telling.cancel()
        return None if proxy is None else proxy.aclose()


PARSED: Mapping[str, Callable[[str], Any]] = {
    "front": Side.parse,
    "back": Side.parse,
    "capture": Side.parse,
    "mark": at_least_one,
    "statistics": positive,
}
GUARDING = ("front", "back", "curve-front", "curve-back", "clients", "own-key")


class Options(usage.Options):
    """What ``twist zmq-proxy`` takes."""

    synopsis = "[options]"
    optParameters: ClassVar[list[Any]] = [
        ["kind", "k", "requests", f"one of {', '.join(KINDS)}"],
        ["front", "f", None, "where clients, publishers or pushers connect"],
        ["back", "b", None, "where workers, subscribers or pullers connect"],
        ["capture", "c", None, "where all that passes is published, for SUB sockets"],
        ["mark", "m", None, "messages held for each peer on each side"],
        ["statistics", "s", None, "log what has passed, every so many seconds"],
        ["curve-front", None, None, "encrypt: the file of the own secret key, or if it connects "
         "that of the server's public key"],
        ["curve-back", None, None, "the same for the back"],
        ["clients", None, None, "where it binds, let in only clients with a key (NAME.key) in "
         "this folder; default: any client"],
        ["own-key", None, None, "where it connects, the file of the own pair of keys "
         "(NAME.key_secret); default: a new pair"],
    ]  # fmt: skip
    longdesc = (
        "Passes messages between two addresses, to which it binds; connect:tcp://host:port "
        "connects, and commas separate several. `zmqbridge keygen` makes keys."
    )

    def postOptions(self) -> None:
        if self["kind"] not in KINDS:
            raise usage.UsageError(f"--kind: give one of {', '.join(KINDS)}")
        for name, parse in PARSED.items():
            if self[name] is None:
                if name in ("front", "back"):
                    raise usage.UsageError(f"--{name}: give an address, as tcp://127.0.0.1:5555")
                continue
            try:
                made = parse(self[name])
            except (ValueError, ArgumentTypeError) as error:
                raise usage.UsageError(f"--{name}: {error}") from None
            if name not in ("front", "back"):
                self[name] = made
        given = {name.replace("-", "_"): self[name] for name in GUARDING}
        try:
            made = marked(self["kind"], guarded(**given), self["mark"])
        except Refused as error:
            raise usage.UsageError(str(error)) from None
        self["front"], self["back"], self["policies"] = made


def makeService(options: Any) -> ProxyService:
    """The service of ``twist zmq-proxy``; the process ends when its proxy fails."""
    sides = [options[name] for name in ("kind", "front", "back", "capture")]
    return ProxyService(
        *sides,
        policies=options["policies"],
        statistics=options["statistics"],
        stop_reactor=True,
    )
