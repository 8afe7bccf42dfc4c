"""What Sentry is told: unforeseen errors of the API, and the failure with which a job ends.

Failures that are followed by a retry are not reported: most of them pass. Nor are args, local variables and bodies,
which may hold secrets.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import sentry_sdk
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.integrations.logging import LoggingIntegration
from starlette.types import ASGIApp

from jobs import Context, Discard, Snooze
from service.ledger.models import Started

_FLUSH_WITHIN_S = 2.0


def around_requests(app: ASGIApp) -> ASGIApp:
    """Report what escapes from the API."""
    _set_up()
    reporting: ASGIApp = SentryAsgiMiddleware(app)
    return reporting


@asynccontextmanager
async def around_attempt(started: Started, context: Context) -> AsyncIterator[None]:
    """Report the error that a job ends with."""
    _set_up()
    try:
        yield
    except Exception as error:
        if _is_last(started, error):
            _report(started, error)
            if started.crashes:  # it may run in a process of its own, which ends without flushing
                await asyncio.to_thread(sentry_sdk.flush, _FLUSH_WITHIN_S)
        raise


def _is_last(started: Started, error: Exception) -> bool:
    if isinstance(error, Snooze):
        return False
    return isinstance(error, Discard) or started.failures + 1 >= started.max_attempts


def _report(started: Started, error: Exception) -> None:
    with sentry_sdk.new_scope() as scope:
        scope.set_transaction_name(started.kind)
        scope.set_tag("kind", started.kind)
        scope.set_tag("queue", started.queue)
        scope.set_context("job", {"id": started.id, "kind": started.kind, "attempt": started.attempt})
        scope.capture_exception(error)


@cache
def _set_up() -> None:
    """Read `SENTRY_DSN`, `SENTRY_ENVIRONMENT` and `SENTRY_RELEASE`, as the SDK does by itself."""
    sentry_sdk.init(
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        auto_enabling_integrations=False,
        integrations=[LoggingIntegration(level=None, event_level=None)],
    )
