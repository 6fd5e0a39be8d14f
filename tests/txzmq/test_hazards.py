"""What is dangerous in txZMQ does not happen in the facade."""

from __future__ import annotations

import pytest
import zmq
from twisted.internet import defer, reactor, task
from twisted.trial.unittest import TestCase

from zmqbridge import SocketClosed
from zmqbridge.txzmq import (
    ZmqEndpoint,
    ZmqFactory,
    ZmqPullConnection,
    ZmqPushConnection,
    ZmqREQConnection,
    ZmqRouterConnection,
)


class Hazards(TestCase):
    timeout = 20

    def setUp(self):
        self.factory = ZmqFactory()
        self.addCleanup(self.factory.shutdown)

    def make(self, kind, how, address):
        return kind(self.factory, ZmqEndpoint(how, address))

    async def until(self, condition):
        while not condition():
            await task.deferLater(reactor, 0.002)

    def test_a_doubled_reply_reaches_nobody_else(self):
        return defer.Deferred.fromCoroutine(self.doubled_reply())

    async def doubled_reply(self):
        router = self.make(ZmqRouterConnection, "bind", "inproc://t1")
        asked = []
        router.gotMessage = lambda *parts: asked.append(parts)
        requester = self.make(ZmqREQConnection, "connect", "inproc://t1")
        first = requester.sendMsg(b"one")
        await self.until(lambda: len(asked) == 1)
        peer, first_id, _, _ = asked[0]
        for _ in range(2):
            router.sendMultipart(peer, (first_id, b"", b"answer one"))
        assert await first == [b"answer one"]
        later = [requester.sendMsg(b"two"), requester.sendMsg(b"three")]
        await self.until(lambda: len(asked) == 3)
        router.sendMultipart(peer, (first_id, b"", b"answer one, late"))
        for _, request_id, _, body in asked[1:]:
            assert request_id != first_id
            router.sendMultipart(peer, (request_id, b"", b"answer " + body))
        assert [await each for each in later] == [[b"answer two"], [b"answer three"]]

    def test_shutdown_fails_what_is_open_and_may_be_repeated(self):
        requester = self.make(ZmqREQConnection, "connect", "inproc://t5")
        waiting = requester.sendMsg(b"x", timeout=100)
        requester.shutdown()
        requester.shutdown()
        self.failureResultOf(waiting, SocketClosed)
        assert reactor.getDelayedCalls() == []
        self.factory.shutdown()
        self.factory.shutdown()

    def test_a_refused_request_leaves_nothing_behind(self):
        requester = self.make(ZmqREQConnection, "bind", "inproc://t4")
        with pytest.raises(zmq.error.Again):
            requester.sendMsg(b"nobody is there", timeout=100)
        with pytest.raises(TypeError, match=r"\.encode\(\)"):
            requester.sendMsg(b"half", "text")
        assert requester._requests == {}

    def test_any_buffers_and_iterables_are_messages_and_empty_ones_are_refused(self):
        return defer.Deferred.fromCoroutine(self.buffers())

    async def buffers(self):
        pulled = []
        puller = self.make(ZmqPullConnection, "bind", "inproc://t15")
        puller.onPull = pulled.append
        pusher = self.make(ZmqPushConnection, "connect", "inproc://t15")
        pusher.push(bytearray(b"a"))
        pusher.push(memoryview(b"b"))
        pusher.push(part for part in (b"c", b"d"))
        with pytest.raises(ValueError, match="at least one part"):
            pusher.push([])
        await self.until(lambda: len(pulled) == 3)
        assert pulled == [[b"a"], [b"b"], [b"c", b"d"]]
