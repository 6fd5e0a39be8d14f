"""Our four faces and plain pyzmq sockets to talk to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from facade import FacadeWorld

if TYPE_CHECKING:
    from tests.conftest import World

FACES = ["asyncio", "uvloop", "epoll", "facade on epoll"]


@pytest.fixture(params=FACES)
def w(request: pytest.FixtureRequest) -> FacadeWorld | World:
    # Several folders have a conftest, so none can be imported by that name.
    general = request.config.pluginmanager.get_plugin(
        str(Path(__file__).parents[1] / "conftest.py")
    )
    face = request.param
    world = general.WORLDS[face.removeprefix("facade on ")]()
    return world if face in general.WORLDS else FacadeWorld(world)


class Plain:
    """Plain pyzmq sockets of one context, in this thread or in one of their own."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.sockets: list[zmq.Socket[bytes]] = []
        self.threads: list[threading.Thread] = []

    def __call__(
        self, kind: int, *, bind: str | None = None, connect: str | None = None, **options: Any
    ) -> zmq.Socket[bytes]:
        socket = self.context.socket(kind)
        self.sockets.append(socket)
        socket.linger = 0
        for name, value in options.items():
            setattr(socket, name, value)
        if bind:
            socket.bind(bind)
        if connect:
            socket.connect(connect)
        return socket

    def background(self, work: Callable[..., Any], *sockets: Any) -> None:
        """Let `work` use these sockets in a thread of its own, until all is over."""

        def run() -> None:
            with contextlib.suppress(zmq.ContextTerminated):
                work(*sockets)
            for socket in sockets:
                socket.close()

        for socket in sockets:
            self.sockets.remove(socket)
        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def close(self) -> None:
        for socket in self.sockets:
            socket.close()
        self.context.term()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def plain() -> Iterator[Plain]:
    sockets = Plain()
    yield sockets
    sockets.close()
