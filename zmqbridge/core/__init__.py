"""The sans-IO core: pure machines that take whole messages and ``now``, and return what follows.

Standard library only; nothing here does I/O, reads a clock, or calls a waiter. docs/core.md shows
how to build on it.

Stability: the names in ``__all__`` change only after a deprecation of one minor version; all other
names below this package are private.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zmqbridge.core._conflate import ConflatingInbox
    from zmqbridge.core._connectionevents import EventKind, MonitorEvent
    from zmqbridge.core._connectionstate import ConnectionState
    from zmqbridge.core._deadlines import DeadlineHeap
    from zmqbridge.core._framing import (
        Message,
        as_parts,
        join_peer,
        join_topic,
        pack_reply,
        pack_request,
        split_all,
        split_peers,
        split_reply,
        split_request,
        split_topic,
    )
    from zmqbridge.core._gaps import Gap, Restarted
    from zmqbridge.core._inbox import Inbox, WeighedInbox
    from zmqbridge.core._incoming import Incoming
    from zmqbridge.core._joining import Joining
    from zmqbridge.core._lastvalues import LastValues
    from zmqbridge.core._monitor import Storm, parse_event
    from zmqbridge.core._numbered import Ask, Asked, AskedList
    from zmqbridge.core._outbox import Outbox
    from zmqbridge.core._outgoing import Kept, Outgoing
    from zmqbridge.core._patterns import Pattern, Receiving, Requests
    from zmqbridge.core._raising import RaisingInbox
    from zmqbridge.core._requests import RequestTable, request_ids
    from zmqbridge.core._routes import ReplyRoutes
    from zmqbridge.core._sendqueue import SendQueue
    from zmqbridge.core._statistics import Statistics
    from zmqbridge.core._subscriptions import Subscriptions
    from zmqbridge.core._topics import Subscribed, Topics, Unsubscribed
    from zmqbridge.core._zap import Peer, Policy, Question, Zap

__all__ = [
    "Ask",
    "Asked",
    "AskedList",
    "ConflatingInbox",
    "ConnectionState",
    "DeadlineHeap",
    "EventKind",
    "Gap",
    "Inbox",
    "Incoming",
    "Joining",
    "Kept",
    "LastValues",
    "Message",
    "MonitorEvent",
    "Outbox",
    "Outgoing",
    "Pattern",
    "Peer",
    "Policy",
    "Question",
    "RaisingInbox",
    "Receiving",
    "ReplyRoutes",
    "RequestTable",
    "Requests",
    "Restarted",
    "SendQueue",
    "Statistics",
    "Storm",
    "Subscribed",
    "Subscriptions",
    "Topics",
    "Unsubscribed",
    "WeighedInbox",
    "Zap",
    "as_parts",
    "join_peer",
    "join_topic",
    "pack_reply",
    "pack_request",
    "parse_event",
    "request_ids",
    "split_all",
    "split_peers",
    "split_reply",
    "split_request",
    "split_topic",
]

# Each is loaded when it is first asked for: a program pays for the machines that it uses.
_MODULES = {
    "_conflate": ("ConflatingInbox",),
    "_connectionevents": ("EventKind", "MonitorEvent"),
    "_connectionstate": ("ConnectionState",),
    "_deadlines": ("DeadlineHeap",),
    "_framing": (
        *("Message", "as_parts", "join_topic", "split_topic", "split_all"),
        *("pack_request", "split_reply", "split_request", "pack_reply"),
        *("join_peer", "split_peers"),
    ),
    "_inbox": ("Inbox", "WeighedInbox"),
    "_gaps": ("Gap", "Restarted"),
    "_incoming": ("Incoming",),
    "_joining": ("Joining",),
    "_lastvalues": ("LastValues",),
    "_monitor": ("Storm", "parse_event"),
    "_numbered": ("Ask", "Asked", "AskedList"),
    "_outbox": ("Outbox",),
    "_outgoing": ("Kept", "Outgoing"),
    "_patterns": ("Pattern", "Receiving", "Requests"),
    "_raising": ("RaisingInbox",),
    "_requests": ("RequestTable", "request_ids"),
    "_routes": ("ReplyRoutes",),
    "_sendqueue": ("SendQueue",),
    "_statistics": ("Statistics",),
    "_subscriptions": ("Subscriptions",),
    "_topics": ("Subscribed", "Topics", "Unsubscribed"),
    "_zap": ("Peer", "Policy", "Question", "Zap"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
