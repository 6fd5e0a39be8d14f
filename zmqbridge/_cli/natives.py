"""What native classes could do in a module on the facade: each place, with its line.

Nothing is rewritten by it: handlers get other arguments, and sending may wait, which is for a
person to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import libcst as cst
from libcst.metadata import (
    MetadataWrapper,
    PositionProvider,
    QualifiedNameProvider,
    QualifiedNameSource,
)

from zmqbridge._cli.codemod import Note

# txZMQ, the name that it had before 0.6, a fork; and the facade, of a module that was rewritten.
PACKAGES = ("txzmq", "txZMQ", "tx0mq", "zmqbridge.txzmq")


class Native(NamedTuple):
    """The native class for a class of txZMQ.

    Attributes:
        name: its name, in both backends.
        hooks: for each hook that a program overrides or assigns, what is there instead.
        calls: for each method that a program calls, the same.
    """

    name: str
    hooks: dict[str, str]
    calls: dict[str, str]


LIST = {"onPull": "handler=, which gets the list of parts"}
SENDING = {
    "sendMsg": "send_nowait(part), or send(part), which waits",
    "sendMultipart": "send_nowait(*parts), or send(*parts), which waits",
}
TO_PEER = {
    "sendMsg": "send_nowait(peer, part), or send(peer, part), which waits",
    "sendMultipart": "send_nowait(peer, *parts), or send(peer, *parts), which waits",
}
NATIVE = {
    "ZmqPubConnection": Native("Publisher", {}, {"publish": "publish(body, tag), the same"}),
    "ZmqSubConnection": Native(
        "Subscriber",
        {"gotMessage": "handler=, which gets the pair (tag, body): the other order"},
        {"subscribe": "Subscriber(tags), or subscribe(tag)", "unsubscribe": "the same"},
    ),
    "ZmqPushConnection": Native(
        "Pusher", {}, {"push": "push_nowait(*parts), or push(*parts), which waits"}
    ),
    "ZmqPullConnection": Native("Puller", LIST, {}),
    "ZmqREQConnection": Native(
        "Requester", {}, {"sendMsg": "request(*parts, timeout=…), which also returns a Deferred"}
    ),
    "ZmqREPConnection": Native(
        "Replier",
        {"gotMessage": "handler=, which gets a request with parts, id and peer"},
        {"reply": "request.reply(*parts)"},
    ),
    "ZmqDealerConnection": Native(
        "Dealer", {"gotMessage": "handler=, which gets the list of parts"}, SENDING
    ),
    "ZmqRouterConnection": Native(
        "Router", {"gotMessage": "handler=, which gets the pair (peer, parts)"}, TO_PEER
    ),
}
OLDER = {"ZmqXREQConnection": "ZmqREQConnection", "ZmqXREPConnection": "ZmqREPConnection"}
FACTORY = Native(
    "nothing, sockets share a context",
    {},
    {
        "registerForShutdown": 'reactor.addSystemEventTrigger("before", "shutdown", socket.aclose)',
        "shutdown": "aclose() of each socket",
    },
)
BASE = Native("Pair, XPublisher or XSubscriber, and none for others", {}, {})
CLASSES = {**NATIVE, "ZmqFactory": FACTORY, "ZmqConnection": BASE}
CALLS = {
    "send": "the verb of the class: push, publish, send",
    "addEndpoints": "bind(address), connect(address)",
    "shutdown": "close(), or aclose(), which sends first what is queued",
}
HOOKS = {"messageReceived": "no such hook, handlers get what is decoded"}
WAITING = "options={zmq.SNDHWM: …, zmq.RCVHWM: …}, by default 1,000"
SETTINGS = {
    "highWaterMark": WAITING,
    "lingerPeriod": "options={zmq.LINGER: …}",
    "reconnectInterval": "options={zmq.RECONNECT_IVL: …}",
    "reconnectIntervalMax": "options={zmq.RECONNECT_IVL_MAX: …}",
    "tcpKeepalive": "options={zmq.TCP_KEEPALIVE: …}",
    "defaultRequestTimeout": "Requester(timeout=…)",
}


def places(source: bytes) -> list[Note]:
    """Where a module uses what native classes could do, by line; the module must be Python 3."""
    if not any(name.encode() in source for name in PACKAGES):
        return []
    wrapper = MetadataWrapper(cst.parse_module(source))
    known = _Known()
    for _ in range(2):  # methods use what comes after them
        wrapper.visit(known)
    telling = _Telling(known)
    wrapper.visit(telling)
    return sorted(set(telling.found))


def text_of(node: cst.BaseExpression) -> str:
    """An expression in one line."""
    return " ".join(cst.Module([]).code_for_node(node).split())


class _Known(cst.CSTVisitor):
    """Finds what is of txZMQ.

    Attributes:
        derived: the classes of the module, with the class of txZMQ from which each derives.
        called: the expressions that are called, with the class of txZMQ that makes each an object.
    """

    METADATA_DEPENDENCIES = (QualifiedNameProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.derived: dict[str, str] = {}
        self.called: dict[cst.CSTNode, str] = {}
        self._objects: dict[str, list[str]] = {}

    def _class_of(self, node: cst.BaseExpression) -> str | None:
        # The class of txZMQ that an expression is, or derives from.
        for found in self.get_metadata(QualifiedNameProvider, node, ()):
            name = found.name.rpartition(".")[2]
            if found.source is not QualifiedNameSource.IMPORT:
                return self.derived.get(name)
            name = OLDER.get(name, name)
            if name in CLASSES and found.name.startswith(tuple(f"{each}." for each in PACKAGES)):
                return name
        return None

    def kinds_of(self, node: cst.BaseExpression) -> list[str]:
        """The classes of txZMQ of which an expression may be an object: a name may have several."""
        return self._objects.get(text_of(node), [])

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        for base in node.bases:
            kind = self._class_of(base.value)
            if kind is not None:
                self.derived[node.name.value] = kind

    def visit_Call(self, node: cst.Call) -> None:
        if kind := self._class_of(node.func):
            self.called[node.func] = kind

    def visit_Assign(self, node: cst.Assign) -> None:
        if isinstance(node.value, cst.Call) and (kind := self._class_of(node.value.func)):
            for target in node.targets:
                kinds = self._objects.setdefault(text_of(target.target), [])
                kinds += [] if kind in kinds else [kind]


class _Telling(cst.CSTVisitor):
    """Notes each place."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, known: _Known) -> None:
        super().__init__()
        self.found: list[Note] = []
        self._known = known
        self._within: list[str | None] = []  # the kinds of the classes that are around

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        kind = self._known.derived.get(node.name.value)
        self._within.append(kind)
        if kind is not None:
            instead = CLASSES[kind].name
            self._tell(node, f"class {node.name.value} (a {kind}); native: {instead}")

    def leave_ClassDef(self, original_node: cst.ClassDef) -> None:
        self._within.pop()

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        if self._within and self._within[-1] is not None:
            self._tell_name(node, self._within[-1:], node.name.value)

    def visit_Assign(self, node: cst.Assign) -> None:
        for target in (each.target for each in node.targets):
            kinds: Sequence[str | None] = self._within[-1:]  # of a class attribute
            name = text_of(target)
            if isinstance(target, cst.Attribute):
                kinds, name = self._kinds_of(target.value), target.attr.value
            self._tell_name(node, kinds, name)

    def visit_Call(self, node: cst.Call) -> None:
        called = node.func
        kind = self._known.called.get(called)
        if kind is not None:
            self._tell(node, f"{text_of(called)}(…); native: {_made(kind, node.args)}")
        elif isinstance(called, cst.Attribute):
            for kind in filter(None, self._kinds_of(called.value)):
                instead = {**CALLS, **CLASSES[kind].calls}.get(called.attr.value)
                if instead is not None:
                    self._tell(node, f"{text_of(called)}(…); native: {instead}")

    def _kinds_of(self, node: cst.BaseExpression) -> Sequence[str | None]:
        if text_of(node) == "self" and self._within:
            return self._within[-1:]
        return self._known.kinds_of(node)

    def _tell_name(self, node: cst.CSTNode, kinds: Sequence[str | None], name: str) -> None:
        for kind in filter(None, kinds):
            instead = {**SETTINGS, **HOOKS, **CLASSES[kind].hooks}.get(name)
            if instead is not None:
                self._tell(node, f"{name}; native: {instead}")

    def _tell(self, node: cst.CSTNode, text: str) -> None:
        line = self.get_metadata(PositionProvider, node).start.line
        self.found.append(Note(line, text))


def _made(kind: str, arguments: Sequence[cst.Arg]) -> str:
    """What to write where an object of a class of txZMQ is made with these arguments."""
    name, hooks, _ = CLASSES[kind]
    if kind not in NATIVE:
        return name
    words = [word for each in arguments[1:2] if (word := _place(each.value))]
    words += ["options={zmq.ROUTING_ID: …}"] * (len(arguments) > 2) + ["handler=…"] * bool(hooks)
    return f"{name}({', '.join(words)})"


def _place(endpoint: cst.BaseExpression) -> str | None:
    """``bind=address`` or ``connect=address`` for an endpoint that is written out."""
    if isinstance(endpoint, cst.Call) and len(endpoint.args) == 2:
        how, where = (text_of(each.value) for each in endpoint.args)
        for way in ("bind", "connect"):
            if how.strip("'\"").lower().rpartition(".")[2] == way:
                return f"{way}={where}"
    return None
