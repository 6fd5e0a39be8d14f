"""The linger of ipc (Linux): a connection stays open until its peer has read what was written.

A receiver of libzmq that is at its high water mark drops what is in the kernel's buffer when the
sender hangs up (zeromq/libzmq#4660). So before libzmq may close the descriptor of a connection, we
make a copy of the descriptor. The copy is closed in one of three cases: libzmq has closed its own
descriptor and the kernel says that the peer has read everything; the linger is over; the peer has
read nothing for `UNREAD_LIMIT`.

libzmq does not tell which descriptors it uses. We find them by their addresses. Where several
sockets are connected to one address, the descriptors of all of them are copied. We know how many
connections were closed, and count those that go; when that number is reached, the other copies are
not of these sockets, and are closed, too. A connection that goes because its peer has hung up is
not counted, as its socket may be open. Sockets of which we hold no copy may close at the same time,
and their connections are counted.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from math import inf
from stat import S_ISSOCK

from zmqbridge._bridge.addresses import (
    Place,
    connects,
    fresh,
    still_unheld,
    unheld,
)
from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.descriptors import has_hung_up, is_of, places_of, unread_by_peer
from zmqbridge._bridge.endings import in_thread
from zmqbridge._bridge.guards import in_forked_child

DESCRIPTORS = "/proc/self/fd"

# The linger of ipc where the user has set none, and how long a peer may read nothing.
UNREAD_LIMIT = 5.0  # seconds
# How often we check whether the peer has read: soon at first, as most peers are quick, then more
# rarely.
SOON, SELDOM = 0.001, 0.02  # seconds
# While a connection is about to exist, we look for it this often.
STEP = 0.0002  # seconds
# The checks take at most 1/SHARE of the time.
SHARE = 20
# The copies are at most this part of the descriptors that the process may have. libzmq needs two
# for each socket that lingers, and stuck peers must leave some to the program.
PART = 4
# At exit a linger of -1 is not waited for.
ENDLESS = 30.0  # seconds


class Copy:
    """A copy of the descriptor of a connection.

    Attributes:
        fd: the number of the copy.
        inode: the inode of the connection, by which the original is recognised.
        original: the number of libzmq's own descriptor.
        place: the address by which the connection was found.
        until: when the linger is over, on time.monotonic.
        standing: whether libzmq still has its descriptor open.
        unread: how much the peer has not read, in bytes of kernel memory.
        since: when `unread` or `standing` last changed, on time.monotonic.
    """

    __slots__ = ("fd", "inode", "original", "place", "since", "standing", "unread", "until")

    def __init__(self, fd: int, inode: int, original: int, place: Place) -> None:
        self.fd = fd
        self.inode = inode
        self.original = original
        self.place = place
        self.until = 0.0
        self.standing = True
        self.unread = -1
        self.since = 0.0

    def look(self, now: float) -> bool:
        """Update the state; returns whether libzmq has just closed its own descriptor."""
        # In this order: libzmq may write the last message and close its own in between.
        went = self.standing and not is_of(self.original, self.inode)
        unread = unread_by_peer(self.fd)
        if went or unread != self.unread:
            self.standing, self.unread, self.since = self.standing and not went, unread, now
        return went

    def is_over(self, now: float) -> bool:
        """Whether the copy can be closed."""
        if now >= self.until:
            return True
        return not self.standing and (not self.unread or now >= self.since + UNREAD_LIMIT)


def most() -> float:
    """How many copies there may be."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return inf if limit == resource.RLIM_INFINITY else limit // PART


class Copies:
    """Holds the copies, and closes each of them in time, in a thread of its own.

    - commands: `keep` (a socket closes), `finish` (the process ends)
    - getters: `lingers_until`, `len`
    """

    def __init__(self) -> None:
        self._copies: dict[int, Copy] = {}  # by inode
        # The addresses of all sockets found by the last search, by inode; then the other way.
        self._names: dict[int, tuple[Place, ...]] = {}
        self._seen: dict[Place, list[tuple[int, int]]] = {}
        self._kept_at = 0.0
        self._reset()

    def _reset(self) -> None:
        # One thread may take the lock twice: the garbage collector can end a forgotten socket
        # anywhere, also while the lock is held.
        self._lock = threading.RLock()
        self._watching = False
        self._leaving: Counter[Place] = Counter()  # how many connections have yet to go

    def __len__(self) -> int:
        return len(self._copies)

    @property
    def lingers_until(self) -> float:
        """When the lingers of all copies are over, on time.monotonic."""
        return max((copy.until for copy in list(self._copies.values())), default=0.0)

    def keep(self, places: Collection[Place], until: float, wait: float = 0.0) -> bool:
        """Copy the connections at these addresses: one for each call of connect.

        Args:
            places: the addresses of the socket that closes.
            until: when the linger of the socket is over, on time.monotonic.
            wait: how many seconds to wait for connections that do not exist yet.

        Returns:
            Whether there are any. There are none where copies take too many descriptors already.
        """
        if len(self._copies) >= most():
            return False
        wanted = set(places)
        give_up = monotonic() + wait
        while True:
            with self._lock:
                for copy in self._find(wanted):
                    copy.since = monotonic()
                    self._copies[copy.inode] = copy
                due = Counter(place for place in places if not place.bound)
                if all(map(self._has_all, due)) or monotonic() >= give_up:
                    there = Counter(copy.place for copy in self._copies.values())
                    return self._hold(wanted, due & there, until)
            time.sleep(STEP)

    def _hold(self, wanted: set[Place], due: Counter[Place], until: float) -> bool:
        # Called with the lock held.
        kept = [copy for copy in self._copies.values() if copy.place in wanted]
        for copy in kept:
            copy.until = max(copy.until, until)
        for place, there in Counter(each.place for each in kept if each.standing).items():
            # Those of sockets that closed just before, if libzmq has not closed them yet.
            goes = there - connects.get(place, 0) - self._leaving[place]
            self._leaving[place] += max(0, min(unheld(place), goes))
        self._leaving += due
        self._kept_at = monotonic()  # other sockets that close now need copies, too
        if kept and not self._watching:
            self._watching = in_thread(self._watch, self, "zmqbridge-ipc") is not None
        return bool(kept)

    def _find(self, wanted: set[Place]) -> Iterator[Copy]:
        """Make the missing copies, as far as there are descriptors left."""
        with suppress(OSError):
            if not all(map(self._knows, wanted)):
                self._seek()
            for place in wanted:
                for original, inode in self._seen.get(place, ()):
                    if inode not in self._copies and is_of(original, inode):
                        fd = os.dup(original)
                        if is_of(fd, inode):
                            yield Copy(fd, inode, original, place)
                        else:
                            os.close(fd)

    def _knows(self, place: Place) -> bool:
        # We know all connections of an address when we know as many as were made, and none was made
        # since the last search. So a program that closes many sockets does not search each time.
        if place.bound or place in fresh:
            return False
        return self._has_all(place, still_unheld(place))

    def _has_all(self, place: Place, others: int = 0) -> bool:
        self._seen[place] = those = [
            each for each in self._seen.get(place, ()) if each[1] in self._copies or is_of(*each)
        ]
        there = sum(each[1] not in self._copies or self._copies[each[1]].standing for each in those)
        # Connections that will go may still be there.
        return there >= connects.get(place, 1) + self._leaving[place] + others

    def _seek(self) -> None:
        # The name of a known inode need not be asked again: the numbers of inodes only go up.
        names, self._names, self._seen = self._names, {}, {}
        fresh.clear()
        for number in os.listdir(DESCRIPTORS):
            original = int(number)
            try:
                status = os.fstat(original)
                if not S_ISSOCK(status.st_mode):
                    continue
                inode = status.st_ino
                held = self._copies.get(inode)
                if held is not None and held.fd == original:
                    continue
                known = (held.place,) if held else names.get(inode)
                if known is None:
                    known = places_of(original)
            except OSError:  # closed in the meantime; or it was the descriptor of the listing
                continue
            if known is not None:
                self._names[inode] = known
                for place in known:
                    self._seen.setdefault(place, []).append((original, inode))
        # And those that have gone since the last look, which are still due.
        for copy in self._copies.values():
            if copy.standing and not is_of(copy.original, copy.inode):
                self._seen.setdefault(copy.place, []).append((copy.original, copy.inode))

    def _watch(self) -> None:
        pause = SOON
        while True:
            begun = monotonic()
            with self._lock:
                left = self._look()
                if not left:
                    self._watching = False
                    return
            time.sleep(max(pause, SHARE * (monotonic() - begun)))
            pause = min(2 * pause, SELDOM)

    def _look(self, exiting: bool = False) -> int:
        # Called with the lock held; returns how many are left.
        now = monotonic()
        copies = list(self._copies.values())
        went = Counter(each.place for each in copies if each.look(now) and not has_hung_up(each.fd))
        # In this order: a socket is noted as closing before its connection goes.
        for place in {copy.place for copy in copies}:
            due = self._leaving[place] + unheld(place) - went[place]
            self._leaving[place] = max(0, due)  # a connection that we do not know may go, too
        for copy in copies:
            due = copy.place.bound or self._leaving[copy.place] > 0
            foreign = copy.standing and (exiting or (not due and now > self._kept_at + SELDOM))
            if foreign or copy.is_over(now):
                # In this order, because a forked child closes every copy that it finds here.
                del self._copies[copy.inode]
                os.close(copy.fd)
        left = {copy.place for copy in self._copies.values()}
        for place in list(self._leaving):
            if place not in left:
                del self._leaving[place]
        return len(self._copies)

    def finish(self) -> None:
        """Wait until all is over. What libzmq still has open belongs to contexts of others."""
        end = monotonic() + ENDLESS
        while True:
            with self._lock:
                left = self._look(exiting=True)
            if not left or monotonic() > end:
                return
            time.sleep(SOON)

    def disown(self) -> None:
        """Close all copies: this is a forked child, and only the parent waits for them."""
        while self._copies:
            with suppress(OSError):
                os.close(self._copies.popitem()[1].fd)
        self._names.clear()
        self._seen.clear()
        self._reset()


copies = Copies()
in_forked_child(copies.disown)
