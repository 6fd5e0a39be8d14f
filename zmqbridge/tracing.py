"""Tracing: a span of OpenTelemetry for each request, at the client and at the server.

It needs the extra ``[otel]``, which is the API only: your SDK decides what becomes of the spans.
Only what you wrap is traced. Nothing is added to messages, so the span of a client and the span of
its server belong to two traces.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from inspect import iscoroutine, iscoroutinefunction
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider

from zmqbridge.core.framing import BytesLike

__all__ = ["TracedRequester", "traced_handler"]

# The names of the conventions for messaging, which are not stable yet.
SYSTEM = "messaging.system"
OPERATION = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
BODY_SIZE = "messaging.message.body.size"
ERROR_TYPE = "error.type"


class TracedRequester:
    """A `Requester` whose requests are spans.

    Args:
        requester: a `Requester` of either backend; all else is called on it.
        destination: what the server is called in spans, e.g. ``"squares"``. Never something that
            differs from request to request.
        tracer_provider: None is the global one.
    """

    def __init__(
        self, requester: Any, destination: str, tracer_provider: TracerProvider | None = None
    ) -> None:
        self._requester = requester
        self._destination = destination
        self._tracer = _tracer(tracer_provider)

    def request(self, *parts: BytesLike, timeout: float | None = None) -> Any:
        """As `Requester.request`; the span ends with the reply or the error.

        A request that is refused at once, e.g. for a misspelt argument, has no span.
        """
        asking = self._requester.request(*parts, timeout=timeout)
        span = _start(self._tracer, "request", "send", self._destination, SpanKind.CLIENT, parts)
        if hasattr(asking, "addBoth"):
            return asking.addBoth(_end_after, span)
        return _await(asking, span)


def traced_handler(
    handler: Callable[[Any], Any],
    destination: str,
    tracer_provider: TracerProvider | None = None,
) -> Callable[[Any], Any]:
    """A handler of requests whose calls are spans; it returns what `handler` returns.

    Args:
        handler: what `Replier.serve` or ``handler=`` takes: called with a request. Its span is the
            current one while it runs, until its coroutine or Deferred has ended.
        destination: what this server is called in spans.
        tracer_provider: None is the global one.
    """
    tracer = _tracer(tracer_provider)

    def start(request: Any) -> Span:
        return _start(tracer, "process", "process", destination, SpanKind.SERVER, request.parts)

    if iscoroutinefunction(handler):

        async def handle_coroutine(request: Any) -> Any:
            span = start(request)
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                return await _await(handler(request), span)

        return handle_coroutine

    def handle(request: Any) -> Any:
        span = start(request)
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            try:
                result = handler(request)
            except BaseException as error:
                _end(span, error)
                raise
        if hasattr(result, "addBoth"):
            return result.addBoth(_end_after, span)
        if iscoroutine(result):
            return _await(result, span)
        _end(span)
        return result

    return handle


def _tracer(provider: TracerProvider | None) -> Tracer:
    return trace.get_tracer("zmqbridge", tracer_provider=provider)


def _start(
    tracer: Tracer,
    operation: str,
    type_: str,
    destination: str,
    kind: SpanKind,
    parts: Sequence[BytesLike],
) -> Span:
    span = tracer.start_span(f"{operation} {destination}", kind=kind)
    if span.is_recording():
        span.set_attribute(SYSTEM, "zeromq")
        span.set_attribute(OPERATION, operation)
        span.set_attribute(OPERATION_TYPE, type_)
        span.set_attribute(DESTINATION, destination)
        span.set_attribute(BODY_SIZE, sum(map(_size, parts)))
    return span


def _size(part: object) -> int:
    # The traced call itself refuses what is not a part.
    return memoryview(part).nbytes if isinstance(part, bytes | bytearray | memoryview) else 0


def _end(span: Span, error: BaseException | None = None) -> None:
    if error is not None:
        # The class only, because the text may show the contents of a message.
        span.set_attribute(ERROR_TYPE, type(error).__qualname__)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def _end_after(result: Any, span: Span) -> Any:
    _end(span, getattr(result, "value", None) if hasattr(result, "trap") else None)
    return result


def _await(call: Awaitable[Any], span: Span) -> Coroutine[Any, Any, Any]:
    async def wait() -> Any:
        try:
            result = await call
        except BaseException as error:
            _end(span, error)
            raise
        _end(span)
        return result

    return wait()
