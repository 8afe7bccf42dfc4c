"""What spans record about errors."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from service.tracing import spans


async def fail_to_send() -> None:
    async with spans._around_mail("mail.example.com", 25, 1):
        raise ValueError("s3cret")


async def test_a_mail_that_fails_is_told_by_its_error_and_not_by_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "tracer", lambda: provider.get_tracer("tests"))
    with pytest.raises(ValueError, match="s3cret"):
        await fail_to_send()
    [mail] = exporter.get_finished_spans()
    assert (mail.status.status_code, mail.status.description) == (StatusCode.ERROR, None)
    assert mail.attributes is not None
    assert mail.attributes["error.type"] == "ValueError"
    assert not mail.events
