"""When a schedule comes due, and how its jobs are spread."""

from datetime import UTC, datetime, timedelta
from itertools import islice

from jobs.kit.cron import expression
from service.lifecycle.schedules.plan import Plan

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def plan(name: str = "s", **fields: object) -> Plan:
    return Plan(name, "api", "k", expression("* * * * *"), "last", **fields)  # type: ignore[arg-type]


def test_jitter_is_spread_over_its_whole_time_and_the_same_whoever_asks() -> None:
    delays = [plan(f"s{n}", jitter_s=100.0).run_at(NOON) - NOON for n in range(1_000)]
    assert delays == [plan(f"s{n}", jitter_s=100.0).run_at(NOON) - NOON for n in range(1_000)]
    tenths = [sum(n * 10 <= delay.total_seconds() < (n + 1) * 10 for delay in delays) for n in range(10)]
    assert sum(tenths) == 1_000
    assert min(tenths) > 60
    assert len({plan(jitter_s=100.0).run_at(NOON + n * MINUTE) - n * MINUTE for n in range(100)}) == 100
    assert plan().run_at(NOON) == NOON


def test_no_tick_comes_before_the_start_or_after_the_end() -> None:
    bounded = plan(start=NOON, end=NOON + 2 * MINUTE)
    assert list(bounded.after(NOON - 10 * MINUTE)) == [NOON, NOON + MINUTE, NOON + 2 * MINUTE]
    assert bounded.between(NOON - 10 * MINUTE, NOON + 10 * MINUTE, 2) == [NOON + MINUTE, NOON + 2 * MINUTE]
    assert bounded.between(NOON - 10 * MINUTE, NOON - MINUTE, 2) == []
    assert list(islice(bounded.after(NOON + 2 * MINUTE), 1)) == []
