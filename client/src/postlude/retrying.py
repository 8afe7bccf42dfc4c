"""Decides whether and when a request is sent again. Pure but for the clock: the clients wait and send.

Every request is safe to send again: jobs have ids, and actions name the wanted state, not a step.
"""

import random
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx
from pydantic_core import from_json

from postlude.answers import Answer
from postlude.errors import Unreachable
from postlude.requests import Request
from postlude.unreachable import is_lasting, unreachable

RETRY_FOR_S = 30.0
TIMEOUT_S = 10.0
_BASE_S = 0.1
_CAP_S = 5.0
_GRACE_S = 1.0
_AGAIN = frozenset({429, 502, 503, 504, 507})

Outcome = Answer | httpx.RequestError
"""The outcome of sending a request once."""


def answer_of(response: httpx.Response, url: str) -> Answer:
    return Answer(response.status_code, response.headers, response.content, url)


class Patience(NamedTuple):
    """How long to wait for each answer, and how long to keep trying."""

    timeout_s: float
    retry_for_s: float

    def tries(self, request: Request, within_s: float | None = None) -> "Tries":
        return Tries(request, self, within_s)


class Tries:
    """The tries of one request."""

    def __init__(self, request: Request, patience: Patience, within_s: float | None) -> None:
        """With `within_s`, the tries end within that time; otherwise the last may start just before time is up."""
        self._timeout_s = patience.timeout_s + request.takes_s
        self._is_bounded = within_s is not None
        self._ends = time.monotonic() + (patience.retry_for_s if within_s is None else within_s)
        self._count = 0
        # An answer's JSON is parsed once: a list of jobs may have megabytes.
        self._whole: Answer | None = None

    def begin(self) -> httpx.Timeout:
        """Begin a try; return its timeouts."""
        self._count += 1
        left_s = max(self._left_s(), 0) + _GRACE_S if self._is_bounded else self._timeout_s
        timeout_s = min(self._timeout_s, left_s)
        return httpx.Timeout(timeout_s, connect=min(timeout_s, TIMEOUT_S))

    def wait_after(self, outcome: Outcome) -> float | None:
        """Return how many seconds to wait before the next try; None if there is none."""
        left_s = self._left_s()
        asked_s = _retry_after_s(outcome) if isinstance(outcome, Answer) else 0.0
        if left_s <= 0 or asked_s > left_s or not self._may_help(outcome):
            return None
        jitter_s = random.uniform(0, min(_CAP_S, _BASE_S * 2 ** min(self._count, 10)))  # nosec B311  # noqa: S311
        return min(asked_s + jitter_s, left_s)

    def conclude(self, outcome: Outcome, url: str) -> Answer:
        """Return the answer, or raise `Unreachable` if there is none."""
        if isinstance(outcome, httpx.RequestError):
            raise unreachable(url, outcome) from outcome
        if self._is_cut(outcome):
            raise Unreachable(f"The answer of {outcome.url} breaks off. A proxy before Postlude may cut it.")
        return outcome._replace(asked_before=True) if self._count > 1 else outcome

    def _may_help(self, outcome: Outcome) -> bool:
        if isinstance(outcome, httpx.RequestError):
            return not is_lasting(outcome)
        # Only conflicts that pass say when to ask again.
        passes = outcome.status == 409 and "retry-after" in outcome.headers
        return outcome.status in _AGAIN or passes or self._is_cut(outcome)

    def _is_cut(self, answer: Answer) -> bool:
        if answer is not self._whole and _breaks_off(answer):
            return True
        self._whole = answer
        return False

    def _left_s(self) -> float:
        return self._ends - time.monotonic()


def _breaks_off(answer: Answer) -> bool:
    """Whether the JSON of an answer breaks off, where a connection's end was taken for the answer's."""
    if answer.media_type not in ("application/json", "application/problem+json"):
        return False
    try:
        from_json(answer.content)
    except ValueError:
        return True
    return False


def _retry_after_s(answer: Answer) -> float:
    """Read `Retry-After`: seconds, or a date (RFC 9110, 10.2.3)."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):  # the latter for a year of twenty digits
        return 0.0
