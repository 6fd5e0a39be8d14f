"""What the system tells of the descriptor of a connection over ipc (Linux)."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import termios
from socket import AF_UNIX, SOCK_NONBLOCK, SOCK_STREAM, SocketType

from zmqbridge._bridge.addresses import Place


def is_of(fd: int, inode: int) -> bool:
    """Whether a descriptor is open and belongs to this inode."""
    try:
        return os.fstat(fd).st_ino == inode
    except OSError:
        return False


def unread_by_peer(fd: int) -> int:
    """How many bytes the peer has not read yet; 0 where the system does not say."""
    try:
        return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def has_hung_up(fd: int) -> bool:
    """Whether the peer of a connection has closed it."""
    poller = select.poll()
    poller.register(fd, 0)
    return bool(poller.poll(0))


def places_of(original: int) -> tuple[Place, ...] | None:
    """The addresses by which a connection of AF_UNIX may be known.

    Returns:
        A tuple of addresses, an empty one if the descriptor is of another family; None if it is not
        connected yet.

    Raises:
        OSError: the descriptor is no socket, or there is no descriptor left.
    """
    fd = os.dup(original)  # a copy: if this is interrupted, `face` closes the copy only
    try:
        # Without this flag Python makes the descriptor blocking, as its own sockets are, and with
        # it the original. If that is libzmq's, the I/O thread would wait for one peer.
        face = SocketType(-1, SOCK_STREAM | SOCK_NONBLOCK, 0, fd)
    except OSError:
        os.close(fd)
        raise
    try:
        if face.family != AF_UNIX:
            return ()
        # The connecting end has no name of its own: connections are not bound to an address.
        ends = ((face.getpeername(), False), (face.getsockname(), True))
        return tuple(Place.of(os.fsencode(name), bound) for name, bound in ends if name)
    except OSError:
        return None
    finally:
        face.close()
