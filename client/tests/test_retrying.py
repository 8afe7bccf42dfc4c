"""Which outcomes are tried again, when, and for how long."""

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import httpx
import pytest

from postlude import Unreachable, retrying
from postlude.answers import Answer
from postlude.requests import Request
from postlude.retrying import Outcome, Patience, Tries

GET = Request("GET", "/v1/jobs/a", takes_s=25)
JSON = {"content-type": "application/json"}


def tries(retry_for_s: float = 30, within_s: float | None = None) -> Tries:
    begun = Patience(10, retry_for_s).tries(GET, within_s)
    begun.begin()
    return begun


def answer(status: int, content: bytes = b"{}", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {**JSON, **named}, content, "http://here")


@pytest.mark.parametrize("status", [429, 502, 503, 504, 507])
def test_who_is_busy_or_away_is_asked_again(status: int) -> None:
    assert tries().wait_after(answer(status)) is not None


@pytest.mark.parametrize(
    "outcome",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.ReadTimeout("silent"),
        httpx.WriteError("gone"),
        httpx.RemoteProtocolError("half"),
        httpx.DecodingError("half of gzip"),
        answer(202, b'{"id": "a", "ki'),
        answer(202, b""),
        answer(422, b'{"type": "urn:post'),
        answer(409, retry_after="1"),
    ],
)
def test_what_may_pass_is_tried_again(outcome: Outcome) -> None:
    assert tries().wait_after(outcome) is not None
    assert tries(retry_for_s=0).wait_after(outcome) is None


@pytest.mark.parametrize("status", [200, 202, 307, 400, 401, 403, 404, 409, 413, 422, 500])
def test_what_will_not_change_is_not_tried_again(status: int) -> None:
    assert tries().wait_after(answer(status)) is None


def test_the_wait_that_is_asked_for_is_kept_in_seconds_or_as_a_date() -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=10), usegmt=True)
    for text in ("10", date):
        wait_s = tries().wait_after(answer(503, retry_after=text))
        assert wait_s is not None
        assert 8 <= wait_s <= 11
    assert tries().wait_after(answer(503, retry_after="31")) is None, "longer than there is time"
    for nonsense in ("soon", f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"):
        assert tries().wait_after(answer(503, retry_after=nonsense)) is not None


def test_waits_grow_and_differ() -> None:
    begun, waits = tries(retry_for_s=10_000), []
    for _ in range(40):
        waits.append(begun.wait_after(answer(503)) or 0.0)
        begun.begin()
    assert max(waits[:2]) <= 0.4
    assert 0.4 < max(waits) <= 5
    assert len(set(waits)) == 40


def test_the_timeout_of_a_try_is_what_is_left_if_all_tries_are_bounded() -> None:
    assert tries().begin() == httpx.Timeout(35, connect=10)
    bounded = Patience(10, 30).tries(GET, within_s=2).begin()
    assert bounded.read is not None
    assert 2 < bounded.read <= 3


def test_an_answer_says_whether_it_was_asked_before() -> None:
    begun = tries()
    assert begun.conclude(answer(409), "http://here").asked_before is False
    begun.begin()
    assert begun.conclude(answer(409), "http://here").asked_before is True


def test_no_answer_is_an_error_that_names_the_url() -> None:
    with pytest.raises(Unreachable, match=r"http://here.* \(refused\)"):
        tries().conclude(httpx.ConnectError("refused"), "http://here")
    with pytest.raises(Unreachable, match="breaks off"):
        tries().conclude(answer(200, b"{"), "http://here")


def test_the_json_of_an_answer_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr(retrying, "from_json", parsed.append)
    begun, whole = tries(), answer(200, b"[]")
    assert begun.wait_after(whole) is None
    assert begun.conclude(whole, GET.path) == whole
    assert parsed == [b"[]"]
