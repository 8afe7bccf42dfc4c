from datetime import timedelta

import httpx
import pytest

from jobs.app import failures
from jobs.app.apps import App
from jobs.app.args import CallAppArgs
from jobs.app.refusals import refusal_of
from jobs.kit.outcomes import Discard, Retry

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ARGS = CallAppArgs(app="shop", function="shop.mail.send")


def refused(status: int, body: bytes = b"", **headers: str) -> Retry:
    response = httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return refusal_of(response, body, App("http://shop.internal", SECRET), ARGS)


@pytest.mark.parametrize(
    ("status", "failure", "answered"),
    [
        (401, failures.AppRefused, None),
        (403, failures.AppRefused, None),
        (404, failures.FunctionNotOffered, True),
        (409, failures.CallRepeated, True),
        (413, failures.ArgumentsRefused, True),
        (422, failures.ArgumentsRefused, True),
        (503, failures.AppUnreachable, False),
        (502, failures.AppUnreachable, False),
        (504, failures.AppUnreachable, False),
        (302, failures.AppError, None),
        (400, failures.AppError, None),
        (500, failures.AppError, None),
    ],
)
def test_each_answer_has_a_failure_of_its_own_and_none_ends_the_job(
    status: int, failure: type[Retry], answered: bool | None
) -> None:
    told = refused(status, b'{"detail": "because so"}')
    assert type(told) is failure
    assert not isinstance(told, Discard)
    assert told.answered is answered
    assert str(status) in str(told)
    assert "shop" in str(told)
    assert (300 <= status < 400) or "because so" in str(told)


def test_an_app_that_shuts_down_says_when_to_come_again_but_holds_nobody_else_up() -> None:
    told = refused(503, retry_after="7")
    assert (told.after, told.or_later, told.hold_lane) == (timedelta(seconds=7), True, None)
    assert refused(503, retry_after="86400").after == timedelta(minutes=10)


def test_what_to_compare_is_said_where_a_signature_is_refused() -> None:
    told = str(refused(401, b'{"detail": "The clocks differ by 900 s."}'))
    assert "(401): The clocks differ by 900 s. If its own middleware says so, let /_postlude pass" in told
    assert "POSTLUDE_APP_SECRET" in told


def test_text_that_is_no_problem_is_quoted_without_the_secret() -> None:
    told = str(refused(500, f"<h1>Oops</h1>\n\n {SECRET} {SECRET[6:]}".encode()))
    assert "<h1>Oops</h1>" in told
    assert SECRET[6:] not in told
