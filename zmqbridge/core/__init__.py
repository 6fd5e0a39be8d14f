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
    from zmqbridge.core.conflate import ConflatingInbox
    from zmqbridge.core.connectionevents import EventKind, MonitorEvent
    from zmqbridge.core.connectionstate import ConnectionState
    from zmqbridge.core.deadlines import DeadlineHeap
    from zmqbridge.core.framing import (
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
    from zmqbridge.core.gaps import Gap, Restarted
    from zmqbridge.core.inbox import Inbox, WeighedInbox
    from zmqbridge.core.incoming import Incoming
    from zmqbridge.core.joining import Joining
    from zmqbridge.core.lastvalues import LastValues
    from zmqbridge.core.monitor import Storm, parse_event
    from zmqbridge.core.numbered import Ask, Asked, AskedList
    from zmqbridge.core.outbox import Outbox
    from zmqbridge.core.outgoing import Kept, Outgoing
    from zmqbridge.core.patterns import Pattern, Receiving, Requests
    from zmqbridge.core.raising import RaisingInbox
    from zmqbridge.core.requests import RequestTable, request_ids
    from zmqbridge.core.routes import ReplyRoutes
    from zmqbridge.core.sendqueue import SendQueue
    from zmqbridge.core.statistics import Statistics
    from zmqbridge.core.subscriptions import Subscriptions
    from zmqbridge.core.topics import Subscribed, Topics, Unsubscribed
    from zmqbridge.core.zap import Peer, Policy, Question, Zap

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
    "conflate": ("ConflatingInbox",),
    "connectionevents": ("EventKind", "MonitorEvent"),
    "connectionstate": ("ConnectionState",),
    "deadlines": ("DeadlineHeap",),
    "framing": (
        *("Message", "as_parts", "join_topic", "split_topic", "split_all"),
        *("pack_request", "split_reply", "split_request", "pack_reply"),
        *("join_peer", "split_peers"),
    ),
    "inbox": ("Inbox", "WeighedInbox"),
    "gaps": ("Gap", "Restarted"),
    "incoming": ("Incoming",),
    "joining": ("Joining",),
    "lastvalues": ("LastValues",),
    "monitor": ("Storm", "parse_event"),
    "numbered": ("Ask", "Asked", "AskedList"),
    "outbox": ("Outbox",),
    "outgoing": ("Kept", "Outgoing"),
    "patterns": ("Pattern", "Receiving", "Requests"),
    "raising": ("RaisingInbox",),
    "requests": ("RequestTable", "request_ids"),
    "routes": ("ReplyRoutes",),
    "sendqueue": ("SendQueue",),
    "statistics": ("Statistics",),
    "subscriptions": ("Subscriptions",),
    "topics": ("Subscribed", "Topics", "Unsubscribed"),
    "zap": ("Peer", "Policy", "Question", "Zap"),
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
