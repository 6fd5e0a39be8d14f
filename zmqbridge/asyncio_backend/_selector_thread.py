"""A thread that waits for FDs, for asyncio loops that cannot watch one, e.g. the Proactor loop.

anyio has such a thread, too. But anyio's thread takes no lock. So it dies when sockets are opened
and closed at the wrong moment, and from then on no other socket of the process receives anything.
"""

from __future__ import annotations

import errno
import select
import selectors
import socket
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from zmqbridge._bridge.guards import in_forked_child
from zmqbridge.errors import ResourcesExhausted

# How long the thread waits for another socket when the last has gone.
GRACE = 0.1  # seconds
# How long it waits after an error, e.g. when there is no memory.
PAUSE = 0.01  # seconds

# A change to these selectors takes effect while they wait. Others must be woken for it.
AT_ONCE = tuple(
    getattr(selectors, name)
    for name in ("EpollSelector", "KqueueSelector")
    if hasattr(selectors, name)
)


class Watch:
    """An FD, and the function that its loop calls each time the FD is readable."""

    __slots__ = ("fd", "loop", "ring", "thread")

    def __init__(
        self, thread: SelectorThread, fd: int, loop: AbstractEventLoop, ring: Callable[[], object]
    ) -> None:
        self.thread: SelectorThread = thread
        self.fd: int = fd
        self.loop: AbstractEventLoop = loop
        self.ring: Callable[[], object] = ring

    def rang(self) -> None:
        """Call the function, in the loop; then watch the FD again.

        Until then the FD stays readable, so the thread does not watch it in the meantime.
        """
        try:
            self.ring()
        finally:
            self.thread.arm(self)


class SelectorThread:
    """The thread, which lives as long as there is an FD to watch.

    Everything except the waiting happens with the lock held.
    """

    def __init__(self) -> None:
        self._watches: dict[int, Watch] = {}
        self._selector = selectors.DefaultSelector()
        try:
            self._bell, self._ear = socket.socketpair()
        except OSError:
            self._selector.close()
            raise
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._told_at_once = isinstance(self._selector, AT_ONCE)
        try:
            self._start()
        except ResourcesExhausted:
            self.close()
            raise

    def _start(self) -> None:
        self._worker = threading.Thread(target=self._run, name="zmqbridge-selector", daemon=True)
        try:
            self._worker.start()
        except (RuntimeError, MemoryError) as error:
            text = f"no thread can be started that waits for sockets of this loop: {error}"
            raise ResourcesExhausted(text, errno.EAGAIN) from error

    def add(self, watch: Watch) -> None:
        """Watch one more FD.

        Raises:
            ResourcesExhausted: the thread has died, and no other can be started.
        """
        if not self._worker.is_alive():  # what kills it we cannot know; the others need it, too
            self._start()
        self._watches[watch.fd] = watch
        self._register(watch.fd)

    def remove(self, watch: Watch) -> None:
        """Stop watching an FD; it may be closed from now on."""
        # If the FD was closed without our knowledge, its number may belong to another watch.
        if self._watches.get(watch.fd) is watch:
            del self._watches[watch.fd]
            self._unregister(watch.fd)
            if not (self._watches and self._told_at_once):
                self._wake()

    def arm(self, watch: Watch) -> None:
        """Watch this FD again, after it was readable."""
        with _lock:
            if self._watches.get(watch.fd) is watch:
                self._register(watch.fd)

    def disown(self) -> None:
        """Forget all FDs: this process is a forked child, whose loop may yet call `Watch.rang`."""
        self._watches.clear()
        self.close()

    def close(self) -> None:
        """Close the selector and the pair of sockets that wakes it."""
        self._selector.close()
        self._bell.close()
        self._ear.close()

    def _register(self, fd: int) -> None:
        self._unregister(fd)  # an old FD of this number may have been closed without our knowledge
        self._selector.register(fd, selectors.EVENT_READ)
        if not self._told_at_once:
            self._wake()

    def _unregister(self, fd: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # the thread is being woken already
            self._bell.send(b"\0")

    def _run(self) -> None:
        while True:
            try:
                if self._is_over():
                    return
            except Exception:  # no memory, mostly; without this thread all sockets would be deaf
                time.sleep(PAUSE)

    def _is_over(self) -> bool:
        """Wait once, and tell the loops; returns whether the thread has nothing to do any more."""
        global _thread
        try:
            ready = self._selector.select(None if self._watches else GRACE)
        except RuntimeError:  # without a GIL: FDs were added while it made a list of them
            return False
        except (OSError, ValueError):
            with _lock:
                self._drop_the_dead()
            return False
        with _lock:
            for key, _ in ready:
                if key.fileobj is self._ear:
                    with suppress(BlockingIOError):
                        self._ear.recv(4096)
                else:
                    self._tell(key.fd)
            if ready or self._watches:
                return False
            _thread = None
            self.close()
            return True

    def _tell(self, fd: int) -> None:
        watch = self._watches.get(fd)
        if watch is not None:
            try:
                # If this raises, the FD is watched still, and the next `select` names it again.
                watch.loop.call_soon_threadsafe(watch.rang)
            except RuntimeError:
                if not watch.loop.is_closed():
                    raise
                del self._watches[fd]
        self._unregister(fd)

    def _drop_the_dead(self) -> None:
        # An FD was closed elsewhere while `select` waited for it: then `select` fails for all FDs.
        for fd in list(self._watches):
            try:
                select.select([fd], (), (), 0)
            except (OSError, ValueError):
                self._tell(fd)


class ThreadReader:
    """Watches one FD for an asyncio loop that cannot; the loop does everything else itself."""

    _watch: Watch | None = None

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop

    def beside(self) -> ThreadReader:
        """A second ThreadReader, for another FD."""
        return ThreadReader(self.loop)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    def is_closed(self) -> bool:
        """Return False, so that the FD is removed here even after the loop is closed."""
        return False

    def add_reader(self, fd: int, ring: Callable[[], object]) -> None:
        """Make the loop call a function each time that an FD is readable.

        Raises:
            ResourcesExhausted: there is no descriptor or no thread left to wait for it.
        """
        global _thread
        with _lock:
            if _thread is None:
                try:
                    _thread = SelectorThread()
                except ResourcesExhausted:
                    raise
                except OSError as error:
                    text = f"no descriptor is left to wait for sockets of this loop: {error}"
                    raise ResourcesExhausted(text, error.errno or errno.EMFILE) from error
            self._watch = Watch(_thread, fd, self.loop, ring)
            _thread.add(self._watch)

    def remove_reader(self, fd: int) -> None:
        """Stop watching the FD."""
        if self._watch is not None:
            with _lock:
                self._watch.thread.remove(self._watch)


_lock = threading.Lock()
_thread: SelectorThread | None = None


def _in_child() -> None:
    global _lock, _thread
    _lock = threading.Lock()  # the thread that held the old lock does not exist in this process
    thread, _thread = _thread, None
    if thread is not None:
        thread.disown()  # it closes the child's copies; the parent's registrations stay


in_forked_child(_in_child)
