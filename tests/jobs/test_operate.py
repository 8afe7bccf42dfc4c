"""`operate` asks the service's operator to go on, and ends, goes on later or gives up as the answer says."""

from collections.abc import Awaitable, Callable

import pytest

from jobs import Discard, Snooze
from jobs.operate import OperateArgs, Operated, Operator, operate
from tests.support.fakes import fake_context


class Told:
    """An operator that was asked, and tells what a test gives it."""

    def __init__(self, operated: Operated | None) -> None:
        self.asked: list[tuple[str, str]] = []
        self._operated = operated

    async def operate(
        self, operation_id: str, job_id: str, *, within_s: float, progress: Callable[[int, int | None], Awaitable[None]]
    ) -> Operated | None:
        self.asked.append((operation_id, job_id))
        assert 0 < within_s < operate.timeout.total_seconds()
        return self._operated


async def perform(told: Told) -> object:
    return await operate(fake_context(capabilities={Operator: told}), OperateArgs(operation="op"))


async def test_an_operation_that_is_over_is_the_result() -> None:
    told = Told(Operated("succeeded", matched=3, done=2, failed=1, is_over=True))
    result = await perform(told)
    assert operate.dump_result(result) == '{"state":"succeeded","matched":3,"done":2,"failed":1}'  # type: ignore[arg-type]
    assert told.asked == [("op", fake_context().job_id)]


async def test_what_is_left_is_for_the_next_attempt_which_costs_nothing() -> None:
    with pytest.raises(Snooze):
        await perform(Told(Operated("running", matched=3, done=1, failed=0, is_over=False)))


async def test_a_job_that_no_operation_has_is_given_up() -> None:
    with pytest.raises(Discard, match="no operation op"):
        await perform(Told(None))
