"""One trace from a caller's request to the calls of an attempt, sent to a collector over OTLP."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from service.settings import Settings
from tests.faults.system import Process
from tests.support.processes import api_process
from tests.support.receiver import Receiver, receiving
from tests.support.running import eventually
from tests.support.smtp_servers import Inbox, open_inbox
from tests.support.worker_process import registered, worker_process

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OTHER_TRACE = "1af7651916cd43dd8448eb211c80319d"
TRACE_IN_LOG = f'"trace_id": "{OTHER_TRACE}"'
KINDS, CHILD = "tests.support.function_kinds", "enqueue fn_welcome"
SECRET = "s3cret-in-a-query"
HOOK = "http://127.0.0.1:{port}/hook?token=" + SECRET


def spans_of(collector: Receiver) -> list[Any]:
    exports = (ExportTraceServiceRequest.FromString(request.body) for request in collector.requests)
    return [
        span
        for export in exports
        for of_process in export.resource_spans
        for of_scope in of_process.scope_spans
        for span in of_scope.spans
    ]


@dataclass
class Traced:
    """An API and a worker that tell a collector of what they do, and servers for the worker to call."""

    api: httpx.AsyncClient
    worker: Process
    collector: Receiver
    receiver: Receiver
    inbox: Inbox


@asynccontextmanager
async def traced(settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Traced]:
    """Run both, each told in one of the two ways where its spans go."""
    async with receiving() as collector, receiving() as receiver, open_inbox() as inbox:
        mail = {"smtp_url": f"smtp://127.0.0.1:{inbox.port}", "smtp_tls": "none"}
        told = Settings(**settings.model_dump(exclude_unset=True) | mail | {"log_level": "INFO", "jobs": KINDS})
        place = f"http://127.0.0.1:{collector.port}"
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{place}/v1/traces")
        async with api_process(settings, JOBS=KINDS) as (api, _):
            monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", place)
            async with worker_process(told, folder) as worker:
                await registered(worker)
                yield Traced(api, worker, collector, receiver, inbox)


async def test_spans_lead_from_requests_to_calls_and_name_nobody(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One API and one worker: each loads the SDK as it starts."""
    async with traced(settings, tmp_path, monkeypatch) as system:
        await requests_of_probes_make_no_spans_and_ids_make_no_names(system)
        job_id = await webhook_and_count_are_performed(system)
        await mail_is_sent(system)
    # The API has sent what it had; of the worker, what is asked for below has been waited for.
    one_trace_leads_from_the_callers_request_to_the_calls_of_its_attempts(system, job_id)
    a_mail_has_a_span_of_its_own_that_names_nobody(system)


async def requests_of_probes_make_no_spans_and_ids_make_no_names(system: Traced) -> None:
    await system.api.get("/metrics")
    await system.api.get("/v1/jobs/01a21040-3068-7635-976b-75b3b291da3f")

    async def told() -> bool:
        return bool(spans_of(system.collector))

    await eventually(told, 30)
    assert {span.name for span in spans_of(system.collector)} == {"GET /v1/jobs/{id}"}


async def webhook_and_count_are_performed(system: Traced) -> str:
    """Return the id of the webhook's job, which fails twice."""
    system.receiver.respond("500 Broken")
    args = {"url": HOOK.format(port=system.receiver.port), "event": "order.paid", "data": {}}
    body = {"kind": "send_webhook", "args": args, "max_attempts": 2, "retry": {"delays": [0.1]}}
    answer = await system.api.post("/v1/jobs", json=body, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert answer.status_code == 202, answer.text
    counting = {"kind": "fn_count", "args": {"upto": 3}}
    await system.api.post("/v1/jobs", json=counting, headers={"traceparent": f"00-{OTHER_TRACE}-{PARENT}-01"})

    async def all_told() -> bool:
        counts = Counter(span.name for span in spans_of(system.collector))
        performed = (counts["perform send_webhook"], counts["perform fn_count"], counts["POST"])
        return performed == (2, 2, 2) and counts["wait send_webhook"] > 0 and counts[CHILD] > 0

    await eventually(all_told, 30)
    return str(answer.json()["id"])


def one_trace_leads_from_the_callers_request_to_the_calls_of_its_attempts(system: Traced, job_id: str) -> None:
    spans = [span for span in spans_of(system.collector) if span.trace_id.hex() == TRACE]
    by_name: dict[str, Any] = {span.name: span for span in spans}
    assert Counter(span.name for span in spans) == Counter(
        {
            "POST /v1/jobs": 1,
            "enqueue send_webhook": 1,
            "wait send_webhook": 1,
            "perform send_webhook": 2,
            "POST": 2,
        }
    )
    request, enqueue = by_name["POST /v1/jobs"], by_name["enqueue send_webhook"]
    assert request.parent_span_id.hex() == PARENT
    assert enqueue.parent_span_id == request.span_id
    performed = [span for span in spans if span.name == "perform send_webhook"]
    assert {span.parent_span_id for span in performed} == {enqueue.span_id}
    assert {call.parent_span_id for call in spans if call.name == "POST"} == {span.span_id for span in performed}
    wait = by_name["wait send_webhook"]
    assert wait.start_time_unix_nano <= wait.end_time_unix_nano <= performed[0].end_time_unix_nano
    received = [request.headers["traceparent"] for request in system.receiver.requests]
    assert [one.split("-")[1] for one in received] == [TRACE, TRACE]
    log = system.worker.log.read_text()
    # What a kind logs, in a thread too, and what it enqueues.
    assert [TRACE_IN_LOG in line for line in log.splitlines() if '"event": "counted"' in line] == [True, True]
    theirs = {span.span_id: span for span in spans_of(system.collector) if span.trace_id.hex() == OTHER_TRACE}
    [child] = [span for span in theirs.values() if span.name == CHILD]
    assert theirs[child.parent_span_id].name == "perform fn_count"
    assert job_id in str(performed[0].attributes)
    assert SECRET not in str(spans)


async def mail_is_sent(system: Traced) -> None:
    args = {"to": ["ann@example.com", "bob@example.com"], "subject": "Hello", "text": "Hello"}
    answer = await system.api.post("/v1/jobs", json={"kind": "send_email", "args": args})
    assert answer.status_code == 202, answer.text

    async def told() -> bool:
        return {"SMTP", "perform send_email"} <= {span.name for span in spans_of(system.collector)}

    await eventually(told, 30)


def a_mail_has_a_span_of_its_own_that_names_nobody(system: Traced) -> None:
    by_name: dict[str, Any] = {span.name: span for span in spans_of(system.collector)}
    mail = by_name["SMTP"]
    assert mail.parent_span_id == by_name["perform send_email"].span_id
    assert {one.key: one.value.int_value or one.value.string_value for one in mail.attributes} == {
        "network.protocol.name": "smtp",
        "server.address": "127.0.0.1",
        "server.port": system.inbox.port,
        "postlude.recipients": 2,
    }
    assert len(system.inbox.envelopes) == 1
    assert "example.com" not in str(spans_of(system.collector))
