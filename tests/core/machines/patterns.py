"""The patterns against the models of their machines: fed by bursts, as a pump feeds them."""

from __future__ import annotations

from typing import Any

from zmqbridge.core.inbox import Inbox
from zmqbridge.core.patterns import Receiving, Requests
from zmqbridge.core.requests import RequestTable

from .receiving import InboxMachine
from .requests import RequestMachine


class ReceivingMachine(InboxMachine):
    """Bursts come; waiters are told to take their message; malformed messages are counted."""

    def make(self, **settings: Any) -> Inbox[Any, str]:
        self.pattern: Receiving[Any, str] = Receiving(**settings)
        return self.pattern.inbox

    def deliver(self, items: list[Any]) -> list[str]:
        told, results = self.pattern.feed(items)
        assert all(result is None for _, result in zip(told, results, strict=False))
        return list(told)

    def close_all(self) -> list[str]:
        unread = len(self.pattern.inbox)
        waiters = self.pattern.close([])
        assert self.pattern.counts()["unclaimed"] == unread
        return waiters


class RequestsMachine(RequestMachine):
    """Replies come in bursts, with messages among them that are none."""

    def make(self, **settings: Any) -> RequestTable[int]:
        self.pattern: Requests[int] = Requests(**settings)
        self.malformed = 0
        return self.pattern.table

    def answer(self, request_id: bytes) -> int | None:
        self.malformed += 1
        body = [b"to", request_id]
        burst = [[b"no reply"], [request_id, b"", *body]]
        waiters, results = self.pattern.feed(burst)
        assert self.pattern.rejected is not None
        self.pattern.rejected = None
        assert self.pattern.counts()["malformed"] == self.malformed
        assert list(results) == [body] * len(waiters)
        assert len(waiters) <= 1
        return waiters[0] if waiters else None

    def close_all(self, remains: list[Any]) -> list[int]:
        return self.pattern.close(remains)
