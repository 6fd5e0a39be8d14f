"""Bell: a real descriptor that is readable while the FD of a simulated socket would be."""

from __future__ import annotations

import os
import socket
import sys


class Bell:
    """A descriptor for loops that can wait only for those of the operating system."""

    def __init__(self) -> None:
        self._rings = False
        self._ends: list[socket.socket] = []
        if sys.platform == "linux" and hasattr(os, "eventfd"):  # PyPy has none
            self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._ends = list(socket.socketpair())
            self.descriptor = self._ends[0].fileno()

    def set(self) -> None:
        """Make the descriptor readable."""
        if not self._rings:
            self._rings = True
            if self._ends:
                self._ends[1].send(b"!")
            else:
                os.eventfd_write(self.descriptor, 1)

    def clear(self) -> None:
        """Make the descriptor not readable."""
        if self._rings:
            self._rings = False
            if self._ends:
                self._ends[0].recv(1)
            else:
                os.eventfd_read(self.descriptor)

    def close(self) -> None:
        """Close the descriptor."""
        if self._ends:
            for end in self._ends:
                end.close()
        else:
            os.close(self.descriptor)
