"""Script: stands in for a replying server, and fails the test if other requests come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import zmq

from zmqbridge.core._checks import as_list
from zmqbridge.core.framing import as_parts, pack_reply, split_request
from zmqbridge.errors import MalformedMessage
from zmqbridge.testing._checks import several
from zmqbridge.testing._nodes import Node

DONTWAIT = int(zmq.DONTWAIT)

Parts = Sequence[bytes]
Expected = Parts | Callable[[list[bytes]], bool] | None
Answer = Parts | Callable[[list[bytes]], Parts] | None


class Unexpected(AssertionError):
    """A request came that the script does not expect here, or an expected one did not come."""


class Script:
    """Plays a Replier: answers the requests that it expects, in their order, and no others.

    It needs no loop, so it serves programs on asyncio, trio and Twisted alike. Use it as a context
    manager: at the end of the block all exchanges must have taken place. An unexpected request
    ends the whole run at once, by `Unexpected`.

    Args:
        exchanges: pairs of an expected request and its answer. The request is a list of parts, a
            function that takes the parts and returns whether they are right, or None for any
            request. The answer is a list of parts, a function that takes the parts of the request
            and returns the answer, or None for no answer.
        node: the node whose server it plays. After `Node.kill` the script is silent, and after
            `Node.restart` it goes on with the exchanges that are left.
        bind: one address or several to bind to.

    Attributes:
        asked: the requests that have come, each as a list of parts.

    Raises:
        TypeError: an exchange is not a pair of lists of parts, `node` is no node, or `bind` no
            address.
        zmq.ZMQError: the node cannot bind to an address.
    """

    def __init__(
        self, exchanges: Iterable[tuple[Expected, Answer]], *, node: Node, bind: str | Sequence[str]
    ) -> None:
        self._left = deque(several("exchanges", exchanges, "pairs of a request and its answer"))
        for each in self._left:
            if not isinstance(each, tuple) or len(each) != 2:
                raise TypeError(
                    f"{each!r} is no pair of an expected request and its answer: give tuples of two"
                )
            for parts in each:
                if parts is not None and not callable(parts):
                    _checked(parts, f"{each!r}")
        if not isinstance(node, Node):
            raise TypeError(f"node={node!r}: give a node, as network.node('server')")
        self._node = node
        self._addresses = as_list(bind, "bind")
        self._over = False
        self.asked: list[list[bytes]] = []
        self._socket: Any = None
        node.serve(self._listen)

    def _listen(self) -> None:
        if self._over:
            return
        if self._socket is not None:
            self._socket.close(0)
        self._socket = self._node.context.socket(zmq.ROUTER)
        self._socket.bell = self
        for address in self._addresses:
            try:
                self._socket.bind(address)
            except zmq.ZMQError as error:
                self._socket.close(0)
                raise zmq.ZMQError(error.errno, f"{error.strerror}: bind={address!r}") from None

    @property
    def left(self) -> int:
        """How many exchanges have not taken place."""
        return len(self._left)

    # The script takes the place of its socket's `Bell`.

    def set(self) -> None:
        """Look for a request, as the socket's FD is readable."""
        self._node.network.after(0, self._look)

    def clear(self) -> None:
        """Do nothing: the socket's FD is not readable any more."""

    def close(self) -> None:
        """Do nothing: the socket was closed."""

    def _look(self) -> None:
        socket = self._socket
        while not socket.closed and self._node.alive and socket.get(zmq.EVENTS) & zmq.POLLIN:
            self._take(socket.recv_multipart(DONTWAIT))

    def _take(self, message: list[bytes]) -> None:
        try:
            route, parts = split_request(message)
        except MalformedMessage as error:
            self._fail(f"a message that is no request came: {error}")
            return
        self.asked.append(parts)
        if not self._left:
            self._fail(f"request {len(self.asked)} is {parts!r}, and the script is over")
            return
        expected, answer = self._left.popleft()
        if not _fits(expected, parts):
            self._fail(f"request {len(self.asked)} is {parts!r}, the script expects {expected!r}")
            return
        if callable(answer):
            answer = answer(parts)
        if answer is not None:
            text = f"{self._node!r}: the answer to request {len(self.asked)}, {parts!r}"
            self._socket.send_multipart(pack_reply(route, _checked(answer, text)), DONTWAIT)

    def _fail(self, text: str) -> None:
        self._node.network.fail(Unexpected(f"{self._node!r}: {text}"))

    def done(self) -> None:
        """Close the socket, and check that all requests have come.

        Raises:
            Unexpected: some of the exchanges did not take place.
        """
        left = [expected for expected, _ in self._left]
        self._end()
        if left:
            raise Unexpected(f"{self._node!r}: these requests never came: {left!r}")

    def __enter__(self) -> Script:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.done()
        else:
            self._end()

    def _end(self) -> None:
        self._over = True
        self._socket.close(0)


def _checked(parts: Any, of: str) -> list[bytes]:
    """A message, as given.

    Raises:
        TypeError: it is no list of parts.
    """
    if not isinstance(parts, bytes | str):
        try:
            if found := list(as_parts(parts)):
                return found
        except TypeError:
            pass
    raise TypeError(f"{of}: {parts!r} is no list of one or more parts, as [b'yes']")


def _fits(expected: Expected, parts: list[bytes]) -> bool:
    if expected is None:
        return True
    if callable(expected):
        return bool(expected(parts))
    return list(expected) == parts
