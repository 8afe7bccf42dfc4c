"""Sends spans to the environment's OTLP endpoint, in batches, from a thread of their own.

An application that sets a provider of its own before the first span keeps it.
"""

import os
from functools import cache

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


@cache
def tracer() -> trace.Tracer:
    """Return the tracer of this process; the first call sets up where spans go."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "postlude"}
        provider = TracerProvider(resource=Resource.create(named))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    return trace.get_tracer("postlude")


def flush(within_s: float) -> None:
    """Send all ended spans."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.force_flush(int(within_s * 1000))
