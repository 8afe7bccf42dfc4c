"""The tracing feature: spans for OpenTelemetry, sent to `OTEL_EXPORTER_OTLP_ENDPOINT`."""

import os

from service.feature import Feature
from service.tracing.switch import hooks_of

FEATURE = Feature("tracing", hooks=hooks_of(os.environ))
