"""Answers that say nothing about the token: leave us alone for a while, do not send this, or try again. Pure."""

from datetime import UTC, datetime, timedelta

import httpx

from jobs.push.failures import PushRefused
from jobs.webhook.answer import LONGEST_HOLD
from jobs.webhook.failures import HttpStatusError
from jobs.webhook.headers import retry_after

# What Firebase asks of senders if an answer names no time.
HOLD_AFTER_QUOTA = timedelta(minutes=1)
HOLD_AFTER_ERROR = timedelta(seconds=10)


def is_overload(status: int) -> bool:
    return status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR


def hold_of(response: httpx.Response) -> timedelta:
    """Return how long an answer that `is_overload` asks us to wait."""
    own = HOLD_AFTER_QUOTA if response.status_code == httpx.codes.TOO_MANY_REQUESTS else HOLD_AFTER_ERROR
    return retry_after(response.headers.get("retry-after", ""), datetime.now(UTC)) or own


def held(response: httpx.Response, reason: str) -> HttpStatusError:
    """Return the error of an answer that `is_overload`."""
    after = hold_of(response)
    return HttpStatusError(reason, status=response.status_code, after=after, hold_lane=min(after, LONGEST_HOLD))


def refused(status: int, reason: str) -> Exception:
    """Return the error of any other answer that is not a success."""
    if httpx.codes.is_client_error(status) and status != httpx.codes.REQUEST_TIMEOUT:
        return PushRefused(reason)
    return HttpStatusError(reason, status=status, after=None)
