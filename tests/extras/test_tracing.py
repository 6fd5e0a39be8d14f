"""Tracing: a span for each request, whatever becomes of it, and nothing on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Request, World

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from zmqbridge import RequestTimeout
from zmqbridge.tracing import TracedRequester, traced_handler

HERE = "tcp://127.0.0.1:*"
worlds = pytest.mark.parametrize("w", ["asyncio", "uvloop", "trio", "epoll"], indirect=True)


@pytest.fixture
def spans() -> tuple[TracerProvider, Callable[..., Any]]:
    """The provider to trace by, and a function that gives the spans that have ended."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter.get_finished_spans


@worlds
async def test_a_request_is_a_span_at_both_ends_and_the_wire_has_none(
    w: World, spans: tuple[TracerProvider, Callable[..., Any]]
) -> None:
    provider, ended = spans
    seen = []

    async def handle(request: Request) -> None:
        seen.append((request.parts, trace.get_current_span().get_span_context().span_id))
        await request.reply(b"answer")

    async with w.Replier(bind=HERE) as replier:
        async with w.Requester(connect=replier.addresses, timeout=20) as requester:
            traced = TracedRequester(requester, "squares", provider)
            serving = w.spawn(replier.serve(traced_handler(handle, "squares", provider)))
            assert await traced.request(b"of", b"seven") == [b"answer"]
            await w.until(lambda: len(ended()) == 2)
            serving.cancel()
            try:
                await serving
            except w.Cancelled:
                pass
    client, server = sorted(ended(), key=lambda span: span.kind.name)
    assert (client.name, client.kind) == ("request squares", SpanKind.CLIENT)
    assert (server.name, server.kind) == ("process squares", SpanKind.SERVER)
    assert seen == [([b"of", b"seven"], server.context.span_id)]
    for span in (client, server):
        assert span.status.status_code is not StatusCode.ERROR
        assert span.attributes["messaging.system"] == "zeromq"
        assert span.attributes["messaging.destination.name"] == "squares"
        assert span.attributes["messaging.message.body.size"] == 7


@worlds
async def test_a_request_without_a_reply_is_a_span_with_its_error(
    w: World, spans: tuple[TracerProvider, Callable[..., Any]]
) -> None:
    provider, ended = spans
    async with w.Requester(connect="tcp://127.0.0.1:9", timeout=20) as requester:
        traced = TracedRequester(requester, "nobody", provider)
        with pytest.raises(RequestTimeout):
            await traced.request(b"secret", timeout=0.01)
        with pytest.raises(TypeError):
            await traced.request("no bytes")  # type: ignore[arg-type]
        asking = w.spawn(traced.request(b"secret"))
        await w.settled()
        asking.cancel()
        with pytest.raises(w.Cancelled):
            await asking
    errors = [span.attributes.get("error.type") for span in ended()]
    assert errors[0] == "RequestTimeout"
    assert errors[-1].startswith("Cancel")
    assert all(span.status.status_code is StatusCode.ERROR for span in ended())
    assert not any("secret" in span.to_json() for span in ended())


class Asked:
    parts = (b"x",)


def test_a_handler_of_any_kind_has_a_span(spans: tuple[TracerProvider, Callable[..., Any]]) -> None:
    from twisted.internet.defer import Deferred

    provider, ended = spans

    def wrapped(handler: Callable[..., Any]) -> Callable[..., Any]:
        return traced_handler(handler, "it", provider)

    assert wrapped(lambda request: request.parts)(Asked()) == (b"x",)
    assert len(ended()) == 1
    with pytest.raises(ZeroDivisionError):
        wrapped(lambda request: 1 / 0)(Asked())
    assert ended()[1].attributes["error.type"] == "ZeroDivisionError"
    waiting: Deferred[Any] = Deferred()
    answer = wrapped(lambda request: waiting)(Asked())
    assert len(ended()) == 2
    waiting.errback(ValueError())
    assert len(ended()) == 3
    assert ended()[2].attributes["error.type"] == "ValueError"
    answer.addErrback(lambda failure: failure.trap(ValueError))

    async def later() -> str:
        return "done"

    coroutine = wrapped(lambda request: later())(Asked())
    assert len(ended()) == 3
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value == "done"
    assert len(ended()) == 4


def test_without_an_sdk_it_does_nothing() -> None:
    assert traced_handler(lambda request: 1, "it")(Asked()) == 1
