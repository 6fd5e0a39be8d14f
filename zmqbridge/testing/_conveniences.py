"""Conveniences: what pyzmq makes of send, recv, get and set, for simulated sockets, too."""

from __future__ import annotations

from typing import Any

import zmq

# pyzmq's own functions: they call nothing but the methods of `SimSocket` and these attributes.
METHODS = (
    "bind_to_random_port", "disable_monitor", "get_hwm", "get_monitor_socket", "get_string",
    "getsockopt_string", "getsockopt_unicode",
    "recv_json", "recv_pyobj", "recv_serialized", "recv_string", "recv_unicode", "send_json",
    "send_pyobj", "send_serialized", "send_string", "send_unicode", "set_hwm", "set_string",
    "setsockopt_string", "setsockopt_unicode", "subscribe", "unsubscribe", "_deserialize",
)  # fmt: skip


def _option(option: int) -> property:
    def get(self: Any) -> Any:
        return self.get(option)

    def set(self: Any, value: Any) -> None:
        self.set(option, value)

    return property(get, set)


def lend(socket_class: type) -> None:
    """Give a class pyzmq's methods, and an attribute for each option that it has no name for."""
    for name in METHODS:
        if (method := vars(zmq.Socket).get(name)) is not None:
            setattr(socket_class, name, method)
    for option in zmq.SocketOption:
        for name in (option.name.lower(), option.name):  # pyzmq takes either
            if name != "type" and not hasattr(socket_class, name):
                setattr(socket_class, name, _option(option))
    socket_class.hwm = property(zmq.Socket.get_hwm, zmq.Socket.set_hwm)  # type: ignore[attr-defined]
