"""Reserve: a few descriptors that are kept for the moment in which there are none left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from zmqbridge._bridge.guards import in_forked_child

# Libzmq needs one for another monitor. But its I/O thread accepts as soon as there is any, in some
# 20 µs each, and on a busy machine we may have to wait for a lock that it has.
SIZE = 16


class Reserve:
    """Holds them as long as anybody has joined; what it does may be done in any thread."""

    def __init__(self) -> None:
        self._held: list[int] = []
        self._users: set[int] = set()

    def __len__(self) -> int:
        return len(self._held)

    def join(self, user: object) -> None:
        """Somebody may need them."""
        self._users.add(id(user))
        self.fill()

    def leave(self, user: object) -> None:
        """Somebody does not any more."""
        self._users.discard(id(user))
        if not self._users:
            self.empty()

    def fill(self) -> bool:
        """Take as many as are missing; False if there are not so many."""
        missing = SIZE - len(self._held)
        if missing <= 0:
            return True
        try:
            own = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            return False
        with suppress(OSError):
            for _ in range(missing - 1):
                self._held.append(os.dup(own))  # a third of the price
        self._held.append(own)
        return len(self._held) >= SIZE

    def empty(self) -> None:
        """Give all of them back."""
        with suppress(IndexError):  # another thread does the same
            while True:
                os.close(self._held.pop())

    @contextmanager
    def released(self) -> Iterator[None]:
        """Use them within ``with``."""
        self.empty()
        try:
            yield
        finally:
            self.fill()

    def disown(self) -> None:
        """This is a child of that process, in which nobody has joined yet."""
        self._users.clear()
        self.empty()


reserve = Reserve()
in_forked_child(reserve.disown)
