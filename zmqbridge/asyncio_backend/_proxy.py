"""Proxy: libzmq's proxy in a thread, steered from asyncio, trio or another loop of anyio's."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, _get_running_loop
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, final

import anyio

from zmqbridge._bridge.proxying import Proxying
from zmqbridge.asyncio_backend._running import log_error, native_loop
from zmqbridge.core.framing import Address
from zmqbridge.errors import LoopError
from zmqbridge.proxies import ProxyStatistics, Side

if TYPE_CHECKING:
    import zmq

    from zmqbridge.asyncio_backend._authenticator import Authenticator
    from zmqbridge.core.zap import Policy

Result = TypeVar("Result")


async def outcome(future: Future[Result]) -> Result:
    """Wait for the result of a thread; cancelling this only stops the waiting."""
    if future.done():
        return future.result()
    if _get_running_loop() is not None:
        return await asyncio.wrap_future(future)
    loop = native_loop()
    if loop is None:
        raise LoopError("a proxy needs a running event loop: call it from a coroutine")
    done = anyio.Event()

    def tell(_: Future[Result]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.run_sync_soon(done.set)

    future.add_done_callback(tell)
    await done.wait()
    return future.result()


@final
class Proxy(Proxying):
    """Passes messages between two sockets; see `Proxying` for its arguments and what it raises.

    When it has failed, every call but `aclose` raises `ProxyFailed`. The error is also reported to
    the exception handler of the loop on which the proxy was made; without a loop it is logged for
    ``zmqbridge``.

    Args:
        policies: which clients are let in at a side with ``security=``: a `Policy` for each domain,
            as of an `Authenticator`. The loop decides about them, as long as it runs; on trio in
            the ``async with`` of the proxy. None if no side needs an authenticator.
    """

    def __init__(
        self,
        kind: str,
        front: Side | Address | list[Address] | tuple[Address, ...],
        back: Side | Address | list[Address] | tuple[Address, ...],
        capture: Side | Address | list[Address] | tuple[Address, ...] | None = None,
        *,
        policies: Mapping[str, Policy] | None = None,
    ) -> None:
        """The arguments are described in the class."""
        deciding = None if policies is None else partial(_deciding, policies)
        super().__init__(kind, front, back, capture, deciding)
        self._engine.ended.add_done_callback(partial(_report, _get_running_loop()))

    @property
    def authenticator(self) -> Authenticator | None:
        """What decides by the policies, e.g. to `reload` them; None without policies."""
        it: Authenticator | None = self._engine.authenticator
        return it

    async def __aenter__(self) -> Self:
        if self.authenticator is not None:
            await self.authenticator.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self.aclose()
        finally:
            if self.authenticator is not None:
                await self.authenticator.__aexit__(*exc_info)

    async def statistics(self) -> ProxyStatistics:
        """What has passed so far, in parts of messages.

        Raises:
            ProxyStalled: it waits for a peer that takes no message.
            ProxyFailed: it has ended by itself.
            SocketClosed: it was closed.
        """
        return await outcome(self._call(self._engine.statistics))

    async def pause(self) -> None:
        """Let nothing pass until `resume`; messages wait at their senders, up to their marks.

        Raises:
            ProxyStalled: it waits for a peer; it is not paused.
            ProxyFailed, SocketClosed: as `statistics`.
        """
        await outcome(self._call(self._engine.pause))

    async def resume(self) -> None:
        """Let messages pass again.

        Raises:
            ProxyFailed, SocketClosed: as `statistics`.
        """
        await outcome(self._call(self._engine.resume))

    async def ended(self) -> None:
        """Wait until it is closed.

        Raises:
            ProxyFailed: it has ended by itself.
        """
        await outcome(self._engine.ended)

    async def aclose(self) -> None:
        """Stop it, also while it waits for a peer, and close its sockets.

        It has ended when this returns, also when this is cancelled and soon after. What libzmq
        holds for peers has the linger time; what has come and has not passed yet is lost. Closing
        twice is fine.
        """
        await outcome(self._stop())

    def close(self) -> None:
        """The same, without waiting for it."""
        self._stop()


def _deciding(policies: Mapping[str, Policy], context: zmq.Context[Any]) -> Authenticator:
    from zmqbridge.asyncio_backend._authenticator import Authenticator  # few proxies have one

    return Authenticator(policies, context=context)


def _report(loop: AbstractEventLoop | None, ended: Future[Any]) -> None:
    error = ended.exception()
    if error is None:
        return
    context = {"message": str(error), "exception": error}
    if loop is None:
        log_error(context)
        return
    with suppress(RuntimeError):  # it is closed
        loop.call_soon_threadsafe(loop.call_exception_handler, context)
