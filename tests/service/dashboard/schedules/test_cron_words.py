"""Cron expressions in words: what people write, and everything else that is allowed."""

from datetime import UTC, datetime

import pytest

from jobs.kit.cron import check_expression
from service.dashboard.schedules.cron_words import in_words, in_zone

WORDS = {
    "* * * * *": "Every minute",
    "*/5 * * * *": "Every 5 minutes",
    "*/7 * * * *": "Every 7 minutes",
    "*/15 * * * * *": "Every 15 seconds",
    "* * * * * *": "Every second",
    "0 */5 * * * *": "Every 5 minutes",
    "30 * * * * *": "At 30 seconds past the minute",
    "10 5 4 * * *": "At 04:05:10",
    "0 * * * *": "Every hour, at minute 0",
    "17 * * * *": "Every hour, at minute 17",
    "@hourly": "Every hour, at minute 0",
    "0 0-6 * * *": "Every hour from 00:00 to 06:00",
    "30 8-18 * * MON-FRI": "Every hour from 08:30 to 18:30, Monday to Friday",
    "0 */5 * * *": "Every 5 hours, at minute 0",
    "0 */6 * * *": "Every 6 hours, at minute 0",
    "30 4 * * *": "Every day at 04:30",
    "0 30 4 * * *": "Every day at 04:30",
    "@daily": "Every day at 00:00",
    "@midnight": "Every day at 00:00",
    "0 8,12,16 * * *": "Every day at 08:00, 12:00 and 16:00",
    "0,30 9 * * *": "Every day at 09:00 and 09:30",
    "0 9 * * 3": "Every Wednesday at 09:00",
    "0 9 * * wed": "Every Wednesday at 09:00",
    "0 0 * * 7": "Every Sunday at 00:00",
    "@weekly": "Every Sunday at 00:00",
    "0 8,20 * * 1,4": "Every Monday and Thursday at 08:00 and 20:00",
    "0 22 * * 1-5": "Monday to Friday at 22:00",
    "*/5 * * * MON": "Every 5 minutes, every Monday",
    "0 3 1 * *": "Every month on the 1st at 03:00",
    "0 0 1,15,22 * *": "Every month on the 1st, 15th and 22nd at 00:00",
    "0 0 11 * *": "Every month on the 11th at 00:00",
    "@monthly": "Every month on the 1st at 00:00",
    "0 0 L * *": "Every month on the last day at 00:00",
    "0 0 1 1 *": "Every year on 1 January at 00:00",
    "@yearly": "Every year on 1 January at 00:00",
    "0 0 29 feb *": "Every year on 29 February at 00:00",
    "0 0 LW * *": "At 00:00, on the last weekday of the month",
    "0 9 * * MON#1": "At 09:00, on the first Monday of the month",
    "0 9 * * 5L": "At 09:00, on the last Friday of the month",
    "0 9 * JAN,JUL MON-FRI": "At 09:00, Monday through Friday, only in January and July",
    "*/15 8-18 * * *": "Every 15 minutes, between 08:00 and 18:59",
    "0 0 1,15 * FRI": "At 00:00, on day 1 and 15 of the month, or on Friday",
    "0 4 */2 * 1": "At 04:00, every 2 days, and only on Monday",
    "5 0 * 8 *": "At 00:05, only in August",
    "23 0-20/2 * * *": "At 23 minutes past the hour, every 2 hours, between 00:00 and 20:59",
    "1-59/2 * * * *": "Every 2 minutes, minutes 1 through 59 past the hour",
    "*/10 * 8 * * *": "Every 10 seconds, between 08:00 and 08:59",
    "0 0 * * 0,6": "Every Sunday and Saturday at 00:00",
    "0 0 * 1-3 *": "At 00:00, January through March",
}


@pytest.mark.parametrize("expression", WORDS)
def test_an_expression_reads_as_one_says_it(expression: str) -> None:
    check_expression(expression)
    assert in_words(expression) == WORDS[expression]


def test_what_nobody_can_read_has_no_words() -> None:
    assert in_words("every day") is None


def test_a_local_time_says_its_zone() -> None:
    winter, summer = datetime(2026, 11, 27, 3, 30, tzinfo=UTC), datetime(2026, 7, 27, 3, 30, 5, tzinfo=UTC)
    assert in_zone([winter], "Europe/Berlin") == [(winter, "Fri 27 Nov 2026, 04:30 CET")]
    assert in_zone([summer], "America/Sao_Paulo") == [(summer, "Mon 27 Jul 2026, 00:30:05 UTC-03")]
    assert in_zone([winter], "UTC") == [(winter, "Fri 27 Nov 2026, 03:30 UTC")]
