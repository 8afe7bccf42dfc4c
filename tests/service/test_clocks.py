import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from service import agreed_time
from service.clocks import Clocks
from service.ledger.ledger import Ledger
from service.queue import open_redis
from service.settings import Settings


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let answers count that a busy machine holds up."""
    monkeypatch.setattr("service.clocks._SLOWEST_ANSWER", timedelta(seconds=10))


def off_by(seconds: list[float]) -> Callable[[], datetime]:
    """Return a clock that is so far ahead of this machine's."""
    return lambda: datetime.now(UTC) + timedelta(seconds=seconds[0])


async def test_skew_is_told_once_when_it_begins_and_once_when_it_is_over(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.clocks._EVERY_S", 0.0)
    redis, ahead = open_redis(settings.redis_dsn), [0.0]
    clocks = Clocks(ledger.database, redis, now=off_by(ahead))
    with capture_logs() as lines:
        for ahead[0] in (0.0, -5.0, -5.0, 0.0):
            await clocks.compare()
    await redis.aclose(close_connection_pool=True)
    others = ["redis"] if ledger.database.dialect == "sqlite" else ["database", "redis"]
    assert [(line["event"], line["clock"]) for line in lines] == [
        (told, clock) for told in ("clock_skew", "clocks_agree_again") for clock in others
    ]
    assert all(4.5 < line["ahead_s"] < 5.5 for line in lines if line["event"] == "clock_skew")


@pytest.fixture
def own_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreed_time, "_agreement", agreed_time._Agreement())


class HourAhead:
    """The module `time` of a machine whose clock is an hour ahead."""

    clock_gettime = staticmethod(time.clock_gettime)
    ahead_s = 3600.0

    @classmethod
    def time(cls) -> float:
        return time.time() + cls.ahead_s


def error_s() -> float:
    """Return how far off our time is, read in a moment in which nothing held this process up."""
    while True:
        before, agreed, after = datetime.now(UTC), agreed_time.now(), datetime.now(UTC)
        if after - before < timedelta(milliseconds=20):
            return abs((agreed - before).total_seconds())


async def test_a_process_an_hour_ahead_goes_by_the_servers_time(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreed_time, "time", HourAhead)
    monkeypatch.setattr(agreed_time, "_agreement", agreed_time._Agreement())
    assert error_s() > 3500
    redis = open_redis(settings.redis_dsn)
    await Clocks(ledger.database, redis, now=off_by([3600.0])).compare()
    assert error_s() < 1
    await redis.aclose(close_connection_pool=True)


@pytest.mark.usefixtures("own_agreement")
def test_a_clock_that_jumps_under_way_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreed_time, "time", HourAhead)
    assert error_s() < 1


@pytest.mark.usefixtures("own_agreement")
def test_time_makes_no_step_for_less_than_could_be_measured() -> None:
    agreed_time.agree(timedelta(seconds=0.2), within=timedelta(seconds=0.25))
    assert error_s() < 0.1
    agreed_time.agree(timedelta(hours=1), within=timedelta(seconds=0.25))
    assert 3599 < error_s() < 3601
    agreed_time.agree(timedelta(seconds=3600.2), within=timedelta(seconds=0.25))
    assert 3599.9 < error_s() < 3600.1


async def test_time_is_agreed_upon_without_redis_where_the_database_has_a_clock(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreed_time, "time", HourAhead)
    monkeypatch.setattr(agreed_time, "_agreement", agreed_time._Agreement())
    redis = open_redis(f"unix://{settings.data_dir}/nobody.sock")
    await Clocks(ledger.database, redis, now=off_by([3600.0])).compare()
    assert (error_s() < 1) == (ledger.database.dialect == "postgresql")
    await redis.aclose(close_connection_pool=True)


class SetClock:
    """The module `time` of a machine whose clock is set under way."""

    ahead_s = 0.0
    clock_gettime = staticmethod(time.clock_gettime)
    monotonic = staticmethod(time.monotonic)

    def time(self) -> float:
        return time.time() + self.ahead_s

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s)


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    clock = SetClock()
    monkeypatch.setattr(agreed_time, "time", clock)
    monkeypatch.setattr(agreed_time, "_agreement", agreed_time._Agreement())
    return clock


async def test_a_clock_that_was_set_is_compared_at_once(
    settings: Settings, ledger: Ledger, set_clock: SetClock
) -> None:
    """On SQLite all processes of a machine keep their leases by its clock: none may notice it long before another."""
    redis = open_redis(settings.redis_dsn)
    clocks = Clocks(ledger.database, redis, now=set_clock.now)
    await clocks.compare()
    set_clock.ahead_s = -3600.0  # set right, and Redis' with it: it is the one that goes on
    assert agreed_time.has_jumped()
    await clocks.compare()
    assert not agreed_time.has_jumped()
    assert error_s() < 1
    await redis.aclose(close_connection_pool=True)


async def test_time_goes_on_as_agreed_while_redis_is_away(
    settings: Settings, ledger: Ledger, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.clocks._EVERY_S", 0.0)
    redis = open_redis(f"unix://{settings.data_dir}/nobody.sock")
    agreed_time.agree(timedelta(hours=1))
    clocks = Clocks(ledger.database, redis, now=set_clock.now)
    await clocks.compare()
    has_own_clock = ledger.database.dialect == "postgresql"
    assert (error_s() < 1) == has_own_clock
    set_clock.ahead_s = 7200.0  # with only SQLite, all processes have the machine's clock
    await clocks.compare()
    assert (error_s() < 1) == has_own_clock
    assert has_own_clock or 7199 < error_s() < 7201
    await redis.aclose(close_connection_pool=True)


async def test_a_redis_that_is_away_is_left_out(ledger: Ledger, settings: Settings) -> None:
    redis = open_redis(f"unix://{settings.data_dir}/nobody.sock")
    assert "redis" not in await Clocks(ledger.database, redis).measure()
    await redis.aclose(close_connection_pool=True)
