"""What the ends of attempts say about destinations: only errors of the destination count for the breaker."""

import errno
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import aiosmtplib
import httpx
import pytest

from jobs import Discard, Retry, Snooze
from jobs.webhook import failures
from service.ledger.models import Failure, Finish
from service.ledger.states import Outcome, State
from service.queue import Verdict
from service.worker.performing import outcome
from service.worker.performing.lane_signs import NO_SIGN, Sign
from service.worker.performing.lane_verdict import verdict_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def _answer(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://example.com")
    return httpx.HTTPStatusError("", request=request, response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectTimeout("slow"),
        httpx.ReadError("reset"),
        _answer(429),
        _answer(503),
        ConnectionRefusedError(),
        TimeoutError(),
        OSError(errno.EHOSTUNREACH, "no route"),
        ssl.SSLError("no common TLS"),
        aiosmtplib.SMTPConnectTimeoutError("slow"),
        aiosmtplib.SMTPServerDisconnected("gone"),
        aiosmtplib.SMTPSenderRefused(421, "closing", "a@example.com"),
        failures.ConnectFailed("no answer"),
        failures.HttpStatusError("overloaded", status=502, after=None),
        ExceptionGroup("both", [ValueError(), ConnectionResetError()]),
    ],
)
def test_destination_that_gives_no_answer_or_is_overloaded_counts_against_it(error: Exception) -> None:
    assert outcome.of_error(error).sign == Sign(answered=False)


@pytest.mark.parametrize(
    "error",
    [
        _answer(404),
        aiosmtplib.SMTPDataError(550, "spam"),
        failures.HttpStatusError("not found", status=404, after=None),
        failures.ReceiverGone("gone"),
        failures.StatusGivenUpOn("422"),
    ],
)
def test_refusal_shows_that_the_destination_answers(error: Exception) -> None:
    assert outcome.of_error(error).sign == Sign(answered=True)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        FileNotFoundError("no such file"),
        OSError(errno.ENOSPC, "disk full"),
        Retry("later"),
        Discard("never"),
        Snooze(after=5),
        failures.AddressRefused("not public"),
    ],
)
def test_error_of_the_job_itself_says_nothing(error: Exception) -> None:
    assert outcome.of_error(error).sign == NO_SIGN


def test_kind_may_hold_its_lane_for_as_long_as_it_says() -> None:
    assert outcome.of_error(Retry(hold_lane=30)).sign == Sign(answered=False, hold=timedelta(seconds=30))
    longest = outcome.of_error(ExceptionGroup("", [Retry(hold_lane=1), Retry(hold_lane=10**9)])).sign
    assert longest.hold == timedelta(days=1)


def test_timeout_counts_against_the_destination_unless_the_loop_was_blocked() -> None:
    assert outcome.of_timeout(timedelta(seconds=1)).sign == Sign(answered=False)
    assert outcome.of_timeout(timedelta(seconds=1), outcome.Blocked(9.0, by_itself=True)).sign == NO_SIGN


class Broken(Retry):
    def __getattribute__(self, name: str) -> Any:
        if name == "answered":
            raise RuntimeError("an author's own")
        return super().__getattribute__(name)


def test_error_that_cannot_be_read_fails_the_attempt_and_says_nothing() -> None:
    ended = outcome.of_error(Broken("x"))
    assert (ended.outcome, ended.sign) == (Outcome.FAILED, NO_SIGN)


def _finish(ended: Outcome, **fields: Any) -> Finish:
    return Finish("j1", "quick", 1, "w", ended, State.QUEUED, NOW)._replace(**fields)


def test_verdict_tells_the_breaker_the_reason_and_is_none_where_there_is_nothing_to_tell() -> None:
    assert verdict_of(_finish(Outcome.SUCCEEDED)) == Verdict(alive=True, hold_s=None, reason="")
    failure = Failure("ConnectFailed", "no answer" + "!" * 500)
    bad = verdict_of(_finish(Outcome.FAILED, failure=failure, answered=False, hold_lane=timedelta(seconds=30)))
    assert bad is not None
    assert (bad.alive, bad.hold_s) == (False, 30.0)
    assert bad.reason.startswith("ConnectFailed: no answer")
    assert len(bad.reason) == 200
    for other in (Outcome.INTERRUPTED, Outcome.CRASHED, Outcome.SNOOZED, Outcome.CANCELLED):
        assert verdict_of(_finish(other)) is None
