"""Whether spans are made at all. Without an endpoint or the packages, tracing costs nothing."""

from collections.abc import Mapping
from importlib.util import find_spec

import structlog
from starlette.types import ASGIApp

from service.hooks import Hooks

log = structlog.get_logger(__name__)

_PLACES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http", "opentelemetry.instrumentation.asgi")


def hooks_of(environment: Mapping[str, str]) -> Hooks:
    """Return the hooks that make spans; none if the environment names no endpoint, or switches tracing off."""
    off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none"
    )
    if off or not any(environment.get(name) for name in _PLACES):
        return Hooks()
    if not all(map(_is_installed, _PACKAGES)):
        return Hooks(requests=(_say_what_is_missing,))
    from service.tracing import spans

    return Hooks(requests=(spans.around_requests,), enqueues=(spans.around_enqueue,), attempts=(spans.around_attempt,))


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _say_what_is_missing(app: ASGIApp) -> ASGIApp:
    remedy = "install Postlude with `pip install 'postlude[otel]'`, or unset OTEL_EXPORTER_OTLP_ENDPOINT"
    log.warning("tracing_not_installed", reason=f"Spans are wanted, but OpenTelemetry is not installed: {remedy}.")
    return app
