"""Windows, as far as Linux can imitate it: what is not there is taken away.

Python imports this when it starts with this folder in PYTHONPATH, so children are imitations too.
"""
# ruff: noqa: E402, F401, I001  the order matters

import errno
import functools
import os
import select
import signal
import sys


def take_away(module: object, *starts: str) -> None:
    for name in [each for each in dir(module) if each.startswith(starts)]:
        delattr(module, name)


take_away(select, "epoll", "EPOLL", "poll", "POLL")  # before anybody chooses among them
take_away(os, "pidfd_")

import asyncio
import socket
import zmq  # which takes its numbers from errno
from twisted.internet import posixbase  # which on Linux wants AF_UNIX

# Python's numbers on Windows. Libzmq goes on with its own, which pyzmq has in its constants.
WINSOCK = {
    "EWOULDBLOCK": 10035, "EINPROGRESS": 10036, "EALREADY": 10037, "ENOTSOCK": 10038,
    "EDESTADDRREQ": 10039, "EMSGSIZE": 10040, "EPROTOTYPE": 10041, "ENOPROTOOPT": 10042,
    "EPROTONOSUPPORT": 10043, "EOPNOTSUPP": 10045, "EAFNOSUPPORT": 10047, "EADDRINUSE": 10048,
    "EADDRNOTAVAIL": 10049, "ENETDOWN": 10050, "ENETUNREACH": 10051, "ENETRESET": 10052,
    "ECONNABORTED": 10053, "ECONNRESET": 10054, "ENOBUFS": 10055, "EISCONN": 10056,
    "ENOTCONN": 10057, "ETIMEDOUT": 10060, "ECONNREFUSED": 10061, "ELOOP": 10062,
    "EHOSTUNREACH": 10065,
}  # fmt: skip


def without_proc(event: str, args: tuple[object, ...]) -> None:
    if event in ("open", "os.listdir", "os.scandir") and str(args[0]).startswith("/proc"):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), args[0])


def refuse(*args: object) -> None:
    raise NotImplementedError


if hasattr(os, "process_cpu_count"):  # Python 3.13's asks for the affinity
    os.process_cpu_count = os.cpu_count
take_away(os, "fork", "register_at_fork", "sched_", "SCHED_")
take_away(signal, "SIGHUP")
socket.socketpair = functools.partial(socket.socketpair, socket.AF_UNIX)
take_away(socket, "AF_UNIX")
vars(errno).update(WINSOCK)
sys.addaudithook(without_proc)
for name in ("add_reader", "remove_reader", "add_writer", "remove_writer", "connect_read_pipe"):
    setattr(asyncio.SelectorEventLoop, name, refuse)  # as Proactor's, for the pipes that we have
vars(sys)["modules"]["twisted.internet.stdio"] = None  # it needs a package that few have
