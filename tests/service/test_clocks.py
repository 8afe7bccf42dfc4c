from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from service.clocks import Clocks
from service.ledger.ledger import Ledger
from service.queue import open_redis
from service.settings import Settings


def off_by(seconds: list[float]) -> Callable[[], datetime]:
    """Give a clock that is so far ahead of this machine's."""
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


async def test_a_redis_that_is_away_is_left_out(ledger: Ledger, settings: Settings) -> None:
    redis = open_redis(f"unix://{settings.data_dir}/nobody.sock")
    assert "redis" not in await Clocks(ledger.database, redis).measure()
    await redis.aclose(close_connection_pool=True)
