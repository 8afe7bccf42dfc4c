"""Cron expressions, against a computation that shares nothing with them: it looks at each minute of a year."""

import calendar
import contextlib
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.kit.cron import CronInvalid, _fields, expression

MINUTE, QUARTER, DAY = timedelta(minutes=1), timedelta(minutes=15), timedelta(days=1)
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")

Matches = Callable[[datetime], bool]


def _last_day(local: datetime) -> int:
    return calendar.monthrange(local.year, local.month)[1]


# What each means, by hand. Those of the first group name times of day.
TIMES_OF_DAY: dict[str, Matches] = {
    "30 2 * * *": lambda t: (t.hour, t.minute) == (2, 30),
    "0,15,30,45 2 * * *": lambda t: t.hour == 2 and t.minute % 15 == 0,
    "0 2,3 * * *": lambda t: t.hour in (2, 3) and t.minute == 0,
    "45 1 * * *": lambda t: (t.hour, t.minute) == (1, 45),
    "15 0-6/2 * * *": lambda t: t.hour in (0, 2, 4, 6) and t.minute == 15,
    "15 2-2/3,04-4/2 * * *": lambda t: t.hour in (2, 4) and t.minute == 15,
    "@daily": lambda t: (t.hour, t.minute) == (0, 0),
    "@weekly": lambda t: (t.hour, t.minute, t.weekday()) == (0, 0, 6),
    "10 2 L * *": lambda t: (t.hour, t.minute, t.day) == (2, 10, _last_day(t)),
    "5 1 * * SUN#1": lambda t: (t.hour, t.minute, t.weekday()) == (1, 5, 6) and t.day <= 7,
    "59 1 * * 5L": lambda t: (t.hour, t.minute, t.weekday()) == (1, 59, 4) and t.day + 7 > _last_day(t),
    "20 2 1-7 4,10,11 SUN": lambda t: (
        (t.hour, t.minute) == (2, 20) and t.month in (4, 10, 11) and (t.day <= 7 or t.weekday() == 6)
    ),
}
SHOWN: dict[str, Matches] = {
    "*/20 * * * *": lambda t: t.minute % 20 == 0,
    "30 * * * *": lambda t: t.minute == 30,
    "@hourly": lambda t: t.minute == 0,
    "*/10 1-3 * * *": lambda t: 1 <= t.hour <= 3 and t.minute % 10 == 0,
    "15 */3 * * *": lambda t: t.hour % 3 == 0 and t.minute == 15,
    "0 30 2 * * *": lambda t: (t.hour, t.minute) == (2, 30),
}


@cache
def minutes_of_the_year(zone: str) -> list[tuple[datetime, datetime]]:
    """Return each minute with what the clock shows. It is asked each quarter of an hour: clocks change at no other."""
    there = ZoneInfo(zone)
    quarters = [YEAR + n * QUARTER for n in range(366 * 24 * 4)]
    asked = [(moment, moment.astimezone(there).replace(tzinfo=None)) for moment in quarters]
    minutes = [n * MINUTE for n in range(15)]
    return [(moment + minute, shown + minute) for moment, shown in asked for minute in minutes]


@cache
def changes_of_the_year(zone: str) -> list[datetime]:
    walk = [(moment, local - moment.replace(tzinfo=None)) for moment, local in minutes_of_the_year(zone)[::15]]
    return [at for (_, before), (at, offset) in pairwise(walk) if offset != before]


@cache
def minutes_of_an_even_clock(zone: str) -> list[tuple[datetime, datetime]]:
    """Return each minute that a clock without changes would show, with when this one shows it or more."""
    walk: list[tuple[datetime, datetime]] = []
    wanted = minutes_of_the_year(zone)[0][1]
    for moment, local in minutes_of_the_year(zone):
        while wanted <= local:  # once for most, never for those shown a second time, often where the clock skips some
            walk.append((moment, wanted))
            wanted += MINUTE
    return walk


def as_shown(matches: Matches, zone: str) -> list[datetime]:
    """Walk through the minutes of UTC."""
    return [moment for moment, local in minutes_of_the_year(zone) if matches(local)]


def once_each_day(matches: Matches, zone: str) -> list[datetime]:
    """Walk through the minutes of an even clock; where several are skipped at once, one tick is enough for them."""
    return list(dict.fromkeys(moment for moment, shown in minutes_of_an_even_clock(zone) if matches(shown)))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", [*TIMES_OF_DAY, *SHOWN])
@pytest.mark.short("New_York")
def test_a_year_of_ticks_is_what_a_walk_through_its_minutes_finds(text: str, zone: str) -> None:
    expected = once_each_day(TIMES_OF_DAY[text], zone) if text in TIMES_OF_DAY else as_shown(SHOWN[text], zone)
    end = YEAR + 366 * DAY
    ticks = list(takewhile(lambda one: one < end, expression(text, zone).after(YEAR - MINUTE)))
    assert ticks == [one for one in expected if one < end]
    assert expression(text, zone).between(YEAR - MINUTE, end - MINUTE, 10**6) == ticks
    assert expression(text, zone).between(YEAR - MINUTE, end - MINUTE, 5) == ticks[-5:]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", [*TIMES_OF_DAY, *SHOWN])
@pytest.mark.short("New_York")
def test_ticks_are_the_same_from_wherever_they_are_counted(text: str, zone: str) -> None:
    """Begin at each quarter of an hour around both changes of the clock, and go on for weeks that have no other."""
    read = expression(text, zone)
    changes = changes_of_the_year(zone)
    assert len(changes) == 2
    for change in changes:
        weeks = takewhile((change + 40 * DAY).__gt__, read.after(change - 2 * DAY))
        whole = list(islice(weeks, 1_000))
        assert whole[-1] > change
        for n in range(-12, 12):
            since = change + 15 * n * MINUTE
            later = [one for one in whole if one > since]
            assert list(islice(read.after(since), len(later))) == later


def test_a_time_of_day_that_the_clock_skips_comes_when_the_clock_has_moved_on() -> None:
    [tick] = expression("30 2 * * *", "Europe/Berlin").between(utc("2026-03-28T12:00"), utc("2026-03-29T12:00"), 10)
    assert tick == utc("2026-03-29T01:00")  # 03:00, of which half an hour was never shown
    [tick] = expression("15 2 * * *", "Australia/Lord_Howe").between(
        utc("2026-10-03T12:00"), utc("2026-10-04T12:00"), 9
    )
    assert tick == utc("2026-10-03T15:30")  # 02:30


def test_a_time_of_day_that_the_clock_shows_twice_comes_the_first_time_only() -> None:
    ticks = expression("30 1 * * *", "America/New_York").between(utc("2026-10-31T12:00"), utc("2026-11-01T12:00"), 10)
    assert ticks == [utc("2026-11-01T05:30")]


def test_what_comes_again_and_again_goes_by_what_the_clock_shows() -> None:
    spring = expression("*/30 * * * *", "Europe/Berlin").between(utc("2026-03-29T00:15"), utc("2026-03-29T02:15"), 10)
    assert [one.astimezone(ZoneInfo("Europe/Berlin")).strftime("%H:%M") for one in spring] == [
        "01:30", "03:00", "03:30", "04:00",
    ]  # fmt: skip
    autumn = expression("30 * * * *", "Europe/Berlin").between(utc("2026-10-24T23:45"), utc("2026-10-25T02:45"), 10)
    assert [one.astimezone(ZoneInfo("Europe/Berlin")).strftime("%H:%M") for one in autumn] == [
        "02:30", "02:30", "03:30",
    ]  # fmt: skip


def test_days_that_a_zone_skips_or_begins_late_lose_no_time_of_day() -> None:
    # Samoa had no 30 December 2011; in Beirut the clock goes from midnight to 01:00.
    samoa = expression("0 12 * * *", "Pacific/Apia").between(utc("2011-12-28T23:00"), utc("2012-01-01T00:00"), 10)
    assert samoa == [utc("2011-12-29T22:00"), utc("2011-12-30T10:00"), utc("2011-12-30T22:00"), utc("2011-12-31T22:00")]
    beirut = expression("@daily", "Asia/Beirut").between(utc("2026-03-27T23:00"), utc("2026-03-29T23:00"), 10)
    assert beirut == [utc("2026-03-28T22:00"), utc("2026-03-29T21:00")]


@pytest.mark.parametrize("text", ["0 0 31 12 *", "0 0 31 DEC *", "0 0 L 12 *", "0 0 0 31 2-12/10 *"])
def test_the_last_day_of_the_year_is_a_day(text: str) -> None:
    assert list(islice(expression(text).after(YEAR), 2)) == [utc("2026-12-31T00:00"), utc("2027-12-31T00:00")]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/New_York"])
@pytest.mark.parametrize("text", ["0 0 * * *", "*/20 * * * *"])
def test_ticks_begin_and_end_with_the_calendar(text: str, zone: str) -> None:
    read = expression(text, zone)
    assert next(read.after(datetime.min.replace(tzinfo=UTC))) > utc("0001-01-01T00:00")
    for back in range(60):
        assert len(list(read.after(datetime.max.replace(tzinfo=UTC) - back * 60 * MINUTE))) <= back * 3


HOSTILE = [
    "", " ", "*", "* * * *", "* * * * * * *", "@never", "@reboot", "@daily *", "1--100000000 * * * *", "0-59/0 * * * *",
    "*/-1 * * * *", "*/99999999999999999999 * * * *", "1/2/3 * * * *", "1-2-3 * * * *", "60 * * * *", "-1 * * * *",
    "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * 0 *", "* * * * 8", "* * * * MON#6", "* * * * MON#0",
    "* * * * L", "* * L-3 * *", "* * * * 1L/2", "0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * */20 * 1L",
    "0 0 */30 * 1#3", "² * * * *", "\u0661 * * * *", "* * * * ²L", "\0 * * * *", "* * * * *\0", "é * * * *",
    "0 0 * FOO *",
    "0 0 * * FRI-MON", "5-1 * * * *", ",,,, * * * *", "*,*,* * * * *" * 20, "1," * 5_000 + "1 * * * *",
    "*/1," * 80 + "1 * * * *", "0" * 10_000, "9" * 190 + " * * * *", "* " * 90, "((((((((((", "%s%s%s%n", "${jndi:x}",
]  # fmt: skip
FIELDS = ("*", "*/7", "1-5", "1,2,3", "L", "LW", "31", "30", "29", "1#5", "5L", "*/31", "99", "x", "")
MORE = [f"0 0 {day} {month} {dow}" for day in FIELDS for month in ("*", "2", "4", "JAN") for dow in ("*", "1#5", "6L")]


def test_there_are_two_hundred_hostile_expressions() -> None:
    assert len({*HOSTILE, *MORE}) >= 200


@pytest.mark.parametrize("zone", ["UTC", "Australia/Lord_Howe"])
def test_hostile_expressions_are_refused_or_find_their_next_ticks_in_little_time(zone: str) -> None:
    """Counted as this thread's own CPU time, the least of several: other processes do not count."""
    slow = {text for text in [*HOSTILE, *MORE] if min(spent_on(text, zone), default=0) > 0.05}
    assert slow == set()


def spent_on(text: str, zone: str) -> Iterator[float]:
    """Measure until it is quick."""
    for _ in range(5):
        _fields.cache_clear()
        begin = time.thread_time()
        try:
            ticks = list(islice(expression(text, zone).after(YEAR), 2))
        except CronInvalid:
            pass
        else:
            assert len(ticks) == 2
        yield (spent := time.thread_time() - begin)
        if spent < 0.05:
            return


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("* * */20 * 1L", "it never comes due"),
        ("0 0 31 2 *", "Bad day-of-month: '31'; no month it names has that day"),
        ("0 0 */31 2 2#2", "it never comes due"),
        ("* * * *", "it has 4 fields: write five"),
        ("", "it has 0 fields"),
        ("nightly", "it has 1 field: "),
        ("@reboot", "or a name such as @daily"),
        ("61 0 * * *", "Bad minute: '61'; it takes 0 to 59"),
        ("0 22-4 * * *", "Bad hour: '22-4'; it takes 0 to 23, and a range must ascend"),
        ("*/0 * * * *", "Bad minute: '*/0'; it takes 0 to 59, by steps of 1 or more"),
        ("0 0 * FEBRUARY *", "Bad month: 'FEBRUARY'; it takes 1 to 12, or JAN to DEC"),
        ("0 0 * * FRI-MON", "Bad day-of-week: 'FRI-MON'; it takes 0 to 7, SUN to SAT, MON#1 or 5L, and a range must"),
        ("0 0 * * 1,fri-mon/2", "MON#1 or 5L, and a range must ascend, by steps of 1 or more"),
        ("0 0 L-L/2 * *", "Bad day-of-month: 'L-L/2'"),
        ("3-3/0 0 * * *", "Bad minute: '3-3/0'"),
        ("61 0 0 * * *", "Bad second: '61'"),
        ("0 0 0 0 0 8", "Bad day-of-month: '0'"),
    ],
)
def test_what_never_comes_due_or_cannot_be_read_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(CronInvalid) as refused:
        expression(text)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("written", "days"),
    [
        ("MON-SUN", "1-7"),
        ("sat-sun", "6,0"),
        ("5-SUN/2", "5,7"),
        ("MON,SAT-SUN", "0,1,6"),
        ("SUN-SUN", "0"),
        ("01-SUN", "1-7"),
    ],
)
def test_a_range_may_end_on_sunday(written: str, days: str) -> None:
    def week(weekday: str) -> list[datetime]:
        return list(islice(expression(f"0 9 * * {weekday}").after(datetime(2026, 3, 1, tzinfo=UTC)), 14))

    assert week(written) == week(days)


@pytest.mark.parametrize("weekday", ["a-b", "MON-SUN#2", "FRI-SUN/0", "1-5,8", "MON-FOO", "9-1"])
def test_only_a_range_that_descends_is_told_to_ascend(weekday: str) -> None:
    with pytest.raises(CronInvalid, match="it takes 0 to 7") as refused:
        expression(f"0 0 * * {weekday}")
    assert "ascend" not in str(refused.value)


def test_a_time_zone_that_is_nearly_right_is_named() -> None:
    with pytest.raises(CronInvalid, match=r"there is no time zone 'Europe/Berln' \(did you mean Europe/Berlin\?\)$"):
        expression("@daily", "Europe/Berln")


@pytest.mark.parametrize("zone", ["Factry", "localtme", "CEST", "UTC+1", "Berlin", "Mars/Phobos", "right/Europe"])
def test_no_time_zone_is_guessed_that_may_be_wrong(zone: str) -> None:
    with pytest.raises(CronInvalid, match=r": write it as Europe/Berlin$"):
        expression("@daily", zone)


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "Nowhere",
        "Europe",
        "../etc/passwd",
        "/etc/passwd",
        "x" * 5_000,
        "\0",
        "É",
        "localtime",
        "Factory",
        "right/UTC",
    ],
)
def test_a_time_zone_that_there_is_not_is_refused(zone: str) -> None:
    with pytest.raises(CronInvalid, match="no time zone"):
        expression("@daily", zone)


def test_incident_a_range_of_a_hundred_million_minutes_takes_no_memory() -> None:
    """Oban Web 2.12.5: a user's expression took gigabytes."""
    tracemalloc.start()
    try:
        for text in ("1--100000000 * * * *", "1-100000000 * * * *", "0-59/100000000 * * * *"):
            with contextlib.suppress(CronInvalid):
                expression(text)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1_000_000


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789*/-,#L WSUNMON@daily", max_size=40))
def test_no_text_is_more_than_refused(text: str) -> None:
    try:
        read = expression(text)
    except CronInvalid:
        return
    assert next(read.after(YEAR)) > YEAR


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
