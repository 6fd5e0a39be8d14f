"""Bell: a real descriptor that is readable while a simulated socket rings."""

from __future__ import annotations

import os
import socket
import sys


class Bell:
    """For loops that can wait for nothing but descriptors of the system."""

    def __init__(self) -> None:
        self._rings = False
        self._ends: list[socket.socket] = []
        if sys.platform == "linux":
            self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._ends = list(socket.socketpair())
            self.descriptor = self._ends[0].fileno()

    def set(self) -> None:
        """Ring."""
        if not self._rings:
            self._rings = True
            if self._ends:
                self._ends[1].send(b"!")
            else:
                os.eventfd_write(self.descriptor, 1)

    def clear(self) -> None:
        """Ring no more."""
        if self._rings:
            self._rings = False
            if self._ends:
                self._ends[0].recv(1)
            else:
                os.eventfd_read(self.descriptor)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._ends:
            for end in self._ends:
                end.close()
        else:
            os.close(self.descriptor)
