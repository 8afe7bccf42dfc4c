"""Series and tops over HTTP: a year of counts, as the clocks of any zone cut it."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from jobs.stats.counters import Count
from service import agreed_time
from service.histogram import SIZE, place_of
from service.ledger.ledger import Ledger
from service.ledger.records.durations import Histogram, record_durations
from service.ledger.records.series import record_totals
from service.stats.capability import LedgerCounters
from tests.service.api.driving import assert_problem, on_sqlite

YEAR = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Chatham", "Asia/Kathmandu")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


async def series(api: httpx.AsyncClient, subject: str | None = "home", event: str | None = "view", **query: str) -> Any:
    named = {name: value for name, value in (("subject", subject), ("event", event)) if value is not None}
    answer = await api.get("/v1/stats/series", params=named | query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def shown(found: Any) -> list[tuple[datetime, int]]:
    return [(datetime.fromisoformat(bucket["start"]), bucket["count"]) for bucket in found["buckets"]]


async def count(ledger: Ledger, *counts: Count) -> None:
    await LedgerCounters(ledger).count_once(f"job {random.random()}", counts)


@on_sqlite
async def test_a_year_is_regrouped_by_the_calendar_of_each_zone(api: httpx.AsyncClient, ledger: Ledger) -> None:
    dice = random.Random(7)
    times = [YEAR[0] + dice.random() * (YEAR[1] - YEAR[0]) for _ in range(1_500)]
    # Around each change of clocks of one of the zones there is much to count.
    changes = ("2025-03-30T01", "2025-10-26T01", "2025-04-05T15", "2025-09-27T14")
    times += [datetime.fromisoformat(f"{at}Z") + number * 10 * MINUTE for at in changes for number in range(-36, 36)]
    for first in range(0, len(times), 500):
        await count(
            ledger, *(Count("home", "view", number % 5 - 1, at) for number, at in enumerate(times[first:][:500]))
        )
    numbers = [number % 500 % 5 - 1 for number in range(len(times))]
    for name in ZONES:
        zone = ZoneInfo(name)
        expected: Counter[object] = Counter()
        for at, number in zip(times, numbers, strict=True):
            expected[at.astimezone(zone).date()] += number
        found = await series(api, bucket="day", tz=name, **{"from": "2025-01-01", "to": "2026-01-01"})
        days = {start.date(): number for start, number in shown(found)}
        assert len(days) == 365
        assert all(start.hour == start.minute == 0 for start, _ in shown(found))
        assert days == {day: expected[day] for day in days}
        assert found["total"] == sum(days.values())
        by_hour = await series(api, bucket="hour", tz=name, **{"from": "2025-01-01", "to": "2026-01-01"})
        assert by_hour["total"] == found["total"]
        by_month = await series(api, bucket="month", tz=name, **{"from": "2025-02-14T10:00", "to": "2025-03-01T00:01"})
        assert [start.month for start, _ in shown(by_month)] == [2, 3]
        in_march = sum(number for day, number in days.items() if day.month == 3)
        assert shown(by_month)[1][1] == in_march


async def test_minutes_are_counted_for_two_days_and_of_subjects_or_events_alone(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    now = agreed_time.now()
    minute = now.replace(second=0, microsecond=0) - HOUR
    await count(
        ledger, Count("a", "view", 2, minute), Count("a", "buy", 3, minute + MINUTE), Count("b", "view", 5, minute)
    )
    span = {"from": minute.isoformat(), "to": (minute + 2 * MINUTE).isoformat(), "bucket": "minute"}
    assert shown(await series(api, "a", "view", **span)) == [(minute, 2), (minute + MINUTE, 0)]
    assert shown(await series(api, "a", None, **span)) == [(minute, 2), (minute + MINUTE, 3)]
    assert shown(await series(api, None, "view", **span)) == [(minute, 7), (minute + MINUTE, 0)]
    assert (await series(api, "a", "view"))["total"] == 2  # the latest 24 hours
    old = (now - timedelta(hours=49)).isoformat()
    assert_problem(await api.get("/v1/stats/series?event=view&bucket=minute", params={"from": old}), 422)


@on_sqlite
async def test_different_ones_are_counted_over_buckets_and_subjects_with_the_most_come_first(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    noon = datetime(2026, 5, 5, 12, tzinfo=UTC)
    await count(ledger, *(Count("a", "view", 1, noon + n % 3 * HOUR, unique=f"u{n % 40}") for n in range(120)))
    await count(
        ledger, *(Count("b", "view", 1, noon, unique=f"u{n}") for n in range(35, 45)), Count("c", "view", 9, noon)
    )
    span = {"from": noon.isoformat(), "to": (noon + 3 * HOUR).isoformat()}
    found = await series(api, "a", unique="true", **span)
    assert [bucket["unique"] for bucket in found["buckets"]] == [40, 40, 40]
    assert (found["total"], found["unique"]) == (120, 40)
    assert (await series(api, None, unique="true", **span))["unique"] == 45
    assert "unique" not in await series(api, "a", **span)
    top = (await api.get("/v1/stats/top", params={"event": "view", "limit": "2", **span})).json()
    assert top == {"subjects": [{"subject": "a", "count": 120}, {"subject": "b", "count": 10}]}
    later = {"from": (noon + HOUR).isoformat(), "to": (noon + 2 * HOUR).isoformat()}
    top = (await api.get("/v1/stats/top", params={"event": "view", **later})).json()
    assert top == {"subjects": [{"subject": "a", "count": 40}]}


async def test_jobs_of_a_kind_have_series_of_how_they_ended_and_how_long_they_took(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    noon = datetime(2026, 5, 5, 12, 15, tzinfo=UTC)
    for minutes, total in ((-20, 5), (0, 8), (29, 20), (60, 21)):
        totals = {("greet", "succeeded"): total, ("", "succeeded"): 2 * total}
        await ledger.database.run(partial(record_totals, totals=totals, minute=noon + minutes * MINUTE))
    counts = [0] * SIZE
    counts[place_of(0.010)] = 4
    told = [Histogram(noon + n * 30 * MINUTE, "greet", "run", "w", counts, 0.04) for n in range(2)]
    await ledger.database.run(partial(record_durations, rows=told))
    # 12:15 UTC is 18:00 in Kathmandu.
    span = {"from": "2026-05-05T18:00", "to": "2026-05-05T20:00", "tz": "Asia/Kathmandu"}
    assert [number for _, number in shown(await series(api, "kind:greet", "succeeded", **span))] == [15, 1]
    assert [number for _, number in shown(await series(api, "kind:", "succeeded", **span))] == [30, 2]
    found = await series(api, "kind:greet", "run", **span)
    assert found["total"] == 8
    assert found["buckets"][0]["p50"] == pytest.approx(0.0085)
    assert found["buckets"][0]["mean"] == pytest.approx(0.010)
    assert found["buckets"][1] == {"start": "2026-05-05T19:00:00+05:45", "count": 0}


WRONG: list[dict[str, str]] = [
    {},
    {"event": "e", "tz": "Mars/Olympus"},
    {"event": "e", "tz": "Europe/Berln"},
    {"event": "e", "tz": "../etc/passwd"},
    {"event": "e", "bucket": "year"},
    {"event": "e", "bucket": "15m", "from": "2025-01-01", "to": "2026-01-01"},
    {"event": "e", "from": "2025-01-01", "to": "2025-01-01"},
    {"event": "e", "from": "yesterday"},
    {"event": "e", "from": "2025-02-30"},
    {"event": "e", "from": "1700000000"},
    {"event": "e", "from": "0001-01-01"},
    {"event": "e", "to": "9999-12-31T23:59:59-12:00"},
    {"event": "e\0"},
    {"subject": "kind:greet"},
    {"subject": "kind:greet", "event": "failed", "unique": "true"},
    {"subject": "kind:greet", "event": "run", "bucket": "minute"},
    {"event": "e", "unique": "true", "bucket": "minute"},
    {"event": "e", "size": "day"},
]


@on_sqlite
async def test_what_cannot_be_asked_is_refused(api: httpx.AsyncClient) -> None:
    for wrong in WRONG:
        problem = assert_problem(await api.get("/v1/stats/series", params=wrong), 422)
        if wrong.get("bucket") == "15m":
            assert "10,000 buckets" in problem["detail"]
        if wrong.get("tz") == "Europe/Berln":
            assert problem["detail"].endswith("(did you mean Europe/Berlin?).")
        assert (problem["title"] == "Time zone invalid") == ("tz" in wrong), wrong
