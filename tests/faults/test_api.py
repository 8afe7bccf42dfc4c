"""An API that dies: no 202 without a commit, and a request that is sent again returns the same job."""

import asyncio
import random
import sys
from datetime import UTC, datetime

import pytest

from tests.faults.failpoint_api import FAILPOINT, FAILPOINTS
from tests.faults.form import Figures
from tests.faults.load import Load, loading
from tests.faults.system import API, System
from tests.faults.verdict import verdict

RECOVERED_WITHIN_S = 30.0
MORTAL_API = (sys.executable, "-m", "tests.faults.failpoint_api", "api")


@pytest.mark.short("postgres")
async def test_request_sent_again_after_the_api_died_at_any_point_makes_one_job(
    system: System, chance: random.Random, whole: bool, figures: Figures
) -> None:
    points = FAILPOINTS if whole else chance.sample(FAILPOINTS, 2)
    load = Load()
    system.add_worker()
    posting: list[asyncio.Task[str]] = []
    for point in points:
        system.api = system.process(MORTAL_API)
        system.api.environment[FAILPOINT] = point.__name__
        system.api.start()
        requests = [load.post(system.client, f"{point.__name__}-{number}", {}) for number in range(5)]
        own = [asyncio.create_task(request) for request in requests]
        posting += own
        assert await system.api.ended(60) == -9
        died_at = datetime.now(UTC)
        # Those of the point before, which are sent again, may be answered: their jobs may have been recorded.
        assert not any(request.done() for request in own)
    system.api = system.process(API)
    system.api.start()
    await asyncio.gather(*posting)
    ended = await verdict(system, load)
    recovered_after_s = max((row["started_at"] - died_at).total_seconds() for row in ended.rows.values())
    assert recovered_after_s <= RECOVERED_WITHIN_S
    figures(
        f"API kill -9 at each of {len(points)} failpoints",
        **ended.figures,
        recovered_after_s=round(recovered_after_s, 1),
    )


async def test_api_killed_again_and_again_under_load_loses_nothing(
    system: System, chance: random.Random, figures: Figures
) -> None:
    await system.start(workers=2)
    async with loading(system, chance, clients=8, pause_s=0.01) as load:
        for _ in range(10):
            await asyncio.sleep(chance.uniform(0.5, 2))
            await system.api.kill()
            died_at = datetime.now(UTC)
            system.api.start()
            await system.ready()
    ended = await verdict(system, load)
    figures("API kill -9 ten times", **ended.figures, recovered_after_s=ended.recovered_after_s(died_at, load))
