"""Whether errors are reported at all. Without a DSN or the package, this costs nothing."""

from collections.abc import Mapping
from importlib.util import find_spec

import structlog
from starlette.types import ASGIApp

from service.hooks import Hooks

log = structlog.get_logger(__name__)


def hooks_of(environment: Mapping[str, str]) -> Hooks:
    """Return the hooks that report errors; none if the environment names no DSN."""
    if not environment.get("SENTRY_DSN"):
        return Hooks()
    if find_spec("sentry_sdk") is None:
        return Hooks(requests=(_say_what_is_missing,))
    from service.sentry import reporting

    return Hooks(requests=(reporting.around_requests,), attempts=(reporting.around_attempt,))


def _say_what_is_missing(app: ASGIApp) -> ASGIApp:
    remedy = "install Postlude with `pip install 'postlude[sentry]'`, or unset SENTRY_DSN"
    log.warning("sentry_not_installed", reason=f"SENTRY_DSN is set, but Sentry's SDK is not installed: {remedy}.")
    return app
