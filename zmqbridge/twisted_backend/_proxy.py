"""Proxy: libzmq's proxy in a thread, steered from a reactor."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, final

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from zmqbridge._bridge.proxying import Proxying
from zmqbridge.core.framing import Address
from zmqbridge.errors import ZmqBridgeError
from zmqbridge.proxies import ProxyStatistics, Side
from zmqbridge.twisted_backend._reactors import global_reactor

if TYPE_CHECKING:
    import zmq

    from zmqbridge.core.zap import Policy
    from zmqbridge.twisted_backend._authenticator import Authenticator

Result = TypeVar("Result")


@final
class Proxy(Proxying):
    """Passes messages between two sockets; see `Proxying` for its arguments and what it raises.

    When it has failed, the error is logged, and every call but `aclose` fails with it.
    Cancelling a Deferred only stops the waiting.

    Args:
        policies: which clients are let in at a side with ``security=``: a `Policy` for each domain,
            as of an `Authenticator`. The reactor decides about them, as long as it runs.
            None if no side needs an authenticator.
        reactor: None is the global one.
    """

    log: ClassVar[Logger] = Logger("zmqbridge.twisted_backend.Proxy")

    def __init__(
        self,
        kind: str,
        front: Side | Address | list[Address] | tuple[Address, ...],
        back: Side | Address | list[Address] | tuple[Address, ...],
        capture: Side | Address | list[Address] | tuple[Address, ...] | None = None,
        *,
        policies: Mapping[str, Policy] | None = None,
        reactor: Any = None,
    ) -> None:
        """The arguments are described in the class."""
        self._reactor = global_reactor() if reactor is None else reactor
        deciding = None if policies is None else partial(_deciding, policies, self._reactor)
        super().__init__(kind, front, back, capture, deciding)
        reactor, log = self._reactor, self.log

        def report(ended: Future[Any]) -> None:
            if error := ended.exception():
                reactor.callFromThread(log.failure, "{error}", Failure(error), error=error)

        self._engine.ended.add_done_callback(report)

    @property
    def authenticator(self) -> Authenticator | None:
        """What decides by the policies, e.g. to `reload` them; None without policies."""
        it: Authenticator | None = self._engine.authenticator
        return it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def statistics(self) -> Deferred[ProxyStatistics]:
        """What has passed so far, in parts of messages.

        Returns:
            Fires with a `ProxyStatistics`, or fails with `ProxyStalled` if it waits for a peer that
            takes no message, `ProxyFailed` if it has ended by itself, `SocketClosed` if it was
            closed.
        """
        return self._ask(self._engine.statistics)

    def pause(self) -> Deferred[None]:
        """Let nothing pass until `resume`; messages wait at their senders, up to their marks.

        Returns:
            Fires when nothing passes any more; fails as `statistics`, and then it is not paused.
        """
        return self._ask(self._engine.pause)

    def resume(self) -> Deferred[None]:
        """Let messages pass again.

        Returns:
            Fires with None, or fails with `ProxyFailed` or `SocketClosed` as `statistics`.
        """
        return self._ask(self._engine.resume)

    def ended(self) -> Deferred[None]:
        """Tell when it is closed.

        Returns:
            Fires with None, or fails with `ProxyFailed` if it has ended by itself.
        """
        return self._outcome(self._engine.ended)

    def aclose(self) -> Deferred[None]:
        """Stop it, also while it waits for a peer, and close its sockets.

        What libzmq holds for peers has the linger time; what has come and has not passed yet is
        lost. Closing twice is fine.

        Returns:
            Fires when it has ended.
        """
        return self._outcome(self._stop())

    def close(self) -> None:
        """The same, without waiting for it."""
        self._stop()

    def _ask(self, method: Any) -> Deferred[Any]:
        try:
            return self._outcome(self._call(method))
        except ZmqBridgeError as error:
            return fail(error)

    def _outcome(self, future: Future[Result]) -> Deferred[Result]:
        waiting: Deferred[Result] = Deferred()

        def fire() -> None:
            if waiting.called:  # it was cancelled
                return
            if error := future.exception():
                waiting.errback(error)
            else:
                waiting.callback(future.result())

        future.add_done_callback(lambda _: self._reactor.callFromThread(fire))
        return waiting


def _deciding(
    policies: Mapping[str, Policy], reactor: Any, context: zmq.Context[Any]
) -> Authenticator:
    from zmqbridge.twisted_backend._authenticator import Authenticator  # few proxies have one

    return Authenticator(policies, context=context, reactor=reactor)
