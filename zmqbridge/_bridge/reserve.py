"""Reserve: keeps a few descriptors open for the moment when the process has none left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from zmqbridge._bridge.guards import in_forked_child

# libzmq needs one descriptor for another monitor. But its I/O thread uses every free descriptor to
# accept connections, about 20 µs for each, and on a busy machine we may have to wait for a lock
# that this thread holds. So one is not enough.
SIZE = 16


class Reserve:
    """Holds the descriptors while there is at least one user; all methods work in any thread."""

    def __init__(self) -> None:
        self._held: list[int] = []
        self._users: set[int] = set()

    def __len__(self) -> int:
        return len(self._held)

    def join(self, user: object) -> None:
        """Add a user, which may need the descriptors."""
        self._users.add(id(user))
        self.fill()

    def leave(self, user: object) -> None:
        """Remove a user; the last one to leave closes the descriptors."""
        self._users.discard(id(user))
        if not self._users:
            self.empty()

    def fill(self) -> bool:
        """Open the missing descriptors; False if the process cannot have that many."""
        missing = SIZE - len(self._held)
        if missing <= 0:
            return True
        try:
            own = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            return False
        with suppress(OSError):
            for _ in range(missing - 1):
                self._held.append(os.dup(own))  # takes a third of the time of os.open
        self._held.append(own)
        return len(self._held) >= SIZE

    def empty(self) -> None:
        """Close all of them."""
        with suppress(IndexError):  # another thread closes them at the same time
            while True:
                os.close(self._held.pop())

    @contextmanager
    def released(self) -> Iterator[None]:
        """Close the descriptors for the time of a ``with``, so that libzmq can use them."""
        self.empty()
        try:
            yield
        finally:
            self.fill()

    def disown(self) -> None:
        """Forget all users and close the descriptors: this process is a forked child."""
        self._users.clear()
        self.empty()


reserve = Reserve()
in_forked_child(reserve.disown)
