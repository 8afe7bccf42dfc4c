"""Tracing is off, and costs nothing, unless the environment names a place for spans."""

import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from service.hooks import Hooks
from service.tracing import switch

PLACE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    "environment", [{}, {**PLACE, "OTEL_SDK_DISABLED": "true"}, {**PLACE, "OTEL_TRACES_EXPORTER": "none"}]
)
def test_nothing_stands_around_anything_where_no_spans_are_wanted(environment: dict[str, str]) -> None:
    assert switch.hooks_of(environment) == Hooks()


def test_product_imports_no_opentelemetry_unless_it_is_wanted() -> None:
    script = "import service.features, sys; sys.exit('opentelemetry' in sys.modules or 'sentry_sdk' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, env={})


def test_missing_packages_are_a_warning_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "_PACKAGES", ("opentelemetry.not_there",))
    hooks = switch.hooks_of(PLACE)
    assert not hooks.enqueues
    assert not hooks.attempts

    async def app(scope: object, receive: object, send: object) -> None: ...

    with capture_logs() as lines:
        assert hooks.around_requests(app) is app
    assert "pip install 'postlude[otel]'" in lines[0]["reason"]
