"""The spans of a job, in its caller's trace: its enqueue, its wait, its attempts, and their calls and mails."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager

import httpx
from opentelemetry import propagate, trace
from opentelemetry.context import Context as TraceContext
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from jobs import Context, Snooze
from service.ledger.models import NewJob, Started
from service.outbound.around import around_call, around_mail
from service.tracing.provider import flush, tracer

# Spans of probes and streams are of no use.
_UNTRACED = "/healthz,/readyz,/metrics,/assets/.*,/stream"
_ID = re.compile(r"/[0-9a-f]{8}-[0-9a-f-]{27}(?=/|$)")
_FLUSH_WITHIN_S = 2.0


def around_requests(app: ASGIApp) -> ASGIApp:
    """Make a span for each request, as a child of the caller's if it sent a `traceparent`."""
    return OpenTelemetryMiddleware(
        _NamedInLogs(app),
        excluded_urls=_UNTRACED,
        default_span_details=_name_of,
        tracer=tracer(),
        exclude_spans=["receive", "send"],
    )


@asynccontextmanager
async def around_enqueue(jobs: Sequence[NewJob]) -> AsyncIterator[Sequence[NewJob]]:
    """Make a span for the jobs that are enqueued together, and let each job carry its context."""
    kinds = sorted({job.kind for job in jobs})
    attributes: Mapping[str, AttributeValue] = {
        "messaging.system": "postlude",
        "messaging.operation.type": "send",
        "postlude.jobs": len(jobs),
    }
    name = f"enqueue {kinds[0]}" if len(kinds) == 1 else "enqueue jobs"
    with tracer().start_as_current_span(name, kind=SpanKind.PRODUCER, attributes=attributes):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        context = json.dumps(carrier)
        for job in jobs:
            job.trace_context = context
        yield jobs


@asynccontextmanager
async def around_attempt(started: Started, context: Context) -> AsyncIterator[None]:
    """Make a span for an attempt; before the first one, also for the wait since the enqueue."""
    sent: TraceContext = propagate.extract(json.loads(started.trace_context or "{}"))
    begun_ns = int(started.started_at.timestamp() * 1e9)
    if started.attempt == 1:
        wait = tracer().start_span(f"wait {started.kind}", sent, start_time=int(started.created_at.timestamp() * 1e9))
        wait.end(begun_ns)
    attributes: Mapping[str, AttributeValue] = {
        "messaging.system": "postlude",
        "messaging.operation.type": "process",
        "messaging.message.id": started.id,
        "messaging.destination.name": started.queue,
        "postlude.kind": started.kind,
        "postlude.attempt": started.attempt,
    }
    span = tracer().start_span(f"perform {started.kind}", sent, SpanKind.CONSUMER, attributes)
    call, mail = around_call.set(_around_call), around_mail.set(_around_mail)
    try:
        with (
            trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False),
            bound_contextvars(**_names_of(span)),
            _noted(span),
        ):
            yield
    finally:
        around_call.reset(call)
        around_mail.reset(mail)
        if started.crashes:  # it may run in a process of its own, which ends without flushing
            await asyncio.to_thread(flush, _FLUSH_WITHIN_S)


@contextmanager
def _noted(span: Span) -> Iterator[None]:
    """Note on a span how an attempt or a mail ended, without the error's text, which may contain secrets."""
    try:
        yield
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)
        if not isinstance(error, Snooze | asyncio.CancelledError):
            span.set_status(Status(StatusCode.ERROR))
        raise


@asynccontextmanager
async def _around_call(request: httpx.Request) -> AsyncIterator[Callable[[httpx.Response], None]]:
    """Make a span for an HTTP call. Its URL is recorded without query and credentials, which may be secret."""
    url = request.url
    attributes: Mapping[str, AttributeValue] = {
        "http.request.method": request.method,
        "server.address": url.host,
        "server.port": url.port or {"https": 443}.get(url.scheme, 80),
        "url.full": str(url.copy_with(query=None, fragment=None, username=None, password=None)),
    }
    with tracer().start_as_current_span(
        request.method, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False
    ) as span:
        propagate.inject(request.headers)

        def answered(response: httpx.Response) -> None:
            span.set_attribute("http.response.status_code", response.status_code)
            if response.is_error:
                span.set_status(Status(StatusCode.ERROR))

        yield answered


@asynccontextmanager
async def _around_mail(server: str, port: int | None, recipients: int) -> AsyncIterator[None]:
    """Make a span for a mail, from the connection to the server's answer. No address is recorded."""
    attributes: dict[str, AttributeValue] = {
        "network.protocol.name": "smtp",
        "server.address": server,
        "postlude.recipients": recipients,
    }
    if port is not None:
        attributes["server.port"] = port
    with (
        tracer().start_as_current_span(
            "SMTP",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span,
        _noted(span),
    ):
        yield


class _NamedInLogs:
    """Adds the ids of a request's trace and span to everything logged during it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with bound_contextvars(**_names_of(trace.get_current_span())):
            await self._app(scope, receive, send)


def _names_of(span: Span) -> dict[str, str]:
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}


def _name_of(scope: Scope) -> tuple[str, dict[str, str]]:
    """Name a request without the ids in its path, which would make a name for each job."""
    path = _ID.sub("/{id}", scope.get("path", ""))
    return f"{scope.get('method', '')} {path}".strip(), {}
