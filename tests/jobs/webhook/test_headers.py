from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.webhook.headers import LONGEST_RETRY_AFTER, retry_after

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", timedelta(seconds=7)),
        (" 7 ", timedelta(seconds=7)),
        (format_datetime(NOW + timedelta(minutes=5), usegmt=True), timedelta(minutes=5)),
        ("Friday, 02-Jan-26 03:05:05 GMT", timedelta(minutes=1)),
        ("Fri Jan  2 03:05:05 2026", timedelta(minutes=1)),
        ("86401", LONGEST_RETRY_AFTER),
        ("9" * 5000, LONGEST_RETRY_AFTER),
        (format_datetime(NOW + timedelta(days=400), usegmt=True), LONGEST_RETRY_AFTER),
        (format_datetime(NOW - timedelta(minutes=5), usegmt=True), None),
        *((value, None) for value in ("", "0", "-5", "1.5", "soon", "٣", "1e3", "Fri, 99 Jan 2026 03:05:05 GMT")),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str, expected: timedelta | None) -> None:
    assert retry_after(value, NOW) == expected


@given(st.text() | st.from_regex(r"\w{3}, \d+ Jan \d+ \d+:\d+:\d+ [+-]?\d+"))
def test_any_retry_after_gives_a_wait_within_bounds(value: str) -> None:
    wait = retry_after(value, NOW)
    assert wait is None or timedelta(0) < wait <= LONGEST_RETRY_AFTER
