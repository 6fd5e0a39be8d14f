"""Waiting for FDs in a thread, for asyncio loops that cannot watch one, as Windows' Proactor loop.

Anyio has such a thread, too. But it takes no lock, so it dies of sockets that come and go, and all
others of the process are deaf from then on.
"""

from __future__ import annotations

import select
import selectors
import socket
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from zmqbridge._bridge.guards import in_forked_child

# How long the thread waits for another socket when the last has gone.
GRACE = 0.1  # seconds

# What these were told while they wait counts at once; others are woken for it.
AT_ONCE = tuple(
    getattr(selectors, name)
    for name in ("EpollSelector", "KqueueSelector")
    if hasattr(selectors, name)
)


class Watch:
    """An FD, and what its loop is to call each time that it can be read."""

    __slots__ = ("fd", "loop", "ring", "thread")

    def __init__(
        self, thread: SelectorThread, fd: int, loop: AbstractEventLoop, ring: Callable[[], object]
    ) -> None:
        self.thread: SelectorThread = thread
        self.fd: int = fd
        self.loop: AbstractEventLoop = loop
        self.ring: Callable[[], object] = ring

    def rang(self) -> None:
        """Its loop calls this. Until it has, the FD stays readable, so it is not watched."""
        try:
            self.ring()
        finally:
            self.thread.arm(self)


class SelectorThread:
    """The thread, which lives as long as there is something to watch; all but waiting is locked."""

    def __init__(self) -> None:
        self._watches: dict[int, Watch] = {}
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._told_at_once = isinstance(self._selector, AT_ONCE)
        threading.Thread(target=self._run, name="zmqbridge-selector", daemon=True).start()

    def add(self, watch: Watch) -> None:
        """Watch one more FD."""
        self._watches[watch.fd] = watch
        self._register(watch.fd)

    def remove(self, watch: Watch) -> None:
        """Watch it no more; it may be closed now."""
        # Closed behind our back, its number may belong to another.
        if self._watches.get(watch.fd) is watch:
            del self._watches[watch.fd]
            self._unregister(watch.fd)
            if not (self._watches and self._told_at_once):
                self._wake()

    def arm(self, watch: Watch) -> None:
        """Look at this FD again."""
        with _lock:
            if self._watches.get(watch.fd) is watch:
                self._register(watch.fd)

    def close(self) -> None:
        """Close what it waits with."""
        self._selector.close()
        self._bell.close()
        self._ear.close()

    def _register(self, fd: int) -> None:
        self._unregister(fd)  # of somebody who was closed behind our back
        self._selector.register(fd, selectors.EVENT_READ)
        if not self._told_at_once:
            self._wake()

    def _unregister(self, fd: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # it rings already
            self._bell.send(b"\0")

    def _run(self) -> None:
        global _thread
        while True:
            try:
                ready = self._selector.select(None if self._watches else GRACE)
            except (OSError, ValueError):
                with _lock:
                    self._drop_the_dead()
                continue
            with _lock:
                for key, _ in ready:
                    if key.fileobj is self._ear:
                        with suppress(BlockingIOError):
                            self._ear.recv(4096)
                    else:
                        self._tell(key.fd)
                if not ready and not self._watches:
                    _thread = None
                    self.close()
                    return

    def _tell(self, fd: int) -> None:
        self._unregister(fd)
        watch = self._watches.get(fd)
        if watch is not None:
            try:
                watch.loop.call_soon_threadsafe(watch.rang)
            except RuntimeError:  # the loop was closed
                del self._watches[fd]

    def _drop_the_dead(self) -> None:
        # Closed by somebody else while `select` had it, which then waits for none at all.
        for fd in list(self._watches):
            try:
                select.select([fd], (), (), 0)
            except (OSError, ValueError):
                self._tell(fd)


class ThreadReader:
    """Watches one FD for an asyncio loop that cannot; all else the loop does itself."""

    _watch: Watch | None = None

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop

    def beside(self) -> ThreadReader:
        """Another one, for another FD."""
        return ThreadReader(self.loop)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    def is_closed(self) -> bool:
        """The FD must be forgotten even when the loop is closed."""
        return False

    def add_reader(self, fd: int, ring: Callable[[], object]) -> None:
        """Have the loop make a call each time that an FD can be read."""
        global _thread
        with _lock:
            if _thread is None:
                _thread = SelectorThread()
            self._watch = Watch(_thread, fd, self.loop, ring)
            _thread.add(self._watch)

    def remove_reader(self, fd: int) -> None:
        """Do so no more."""
        watch, self._watch = self._watch, None
        if watch is not None:
            with _lock:
                watch.thread.remove(watch)


_lock = threading.Lock()
_thread: SelectorThread | None = None


def _in_child() -> None:
    global _lock, _thread
    _lock = threading.Lock()  # whoever held it is not in this process
    thread, _thread = _thread, None
    if thread is not None:
        thread.close()  # our copies; what the parent has registered stays so


in_forked_child(_in_child)
