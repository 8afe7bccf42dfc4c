import asyncio
import threading
from typing import Any

import pytest

from jobs.kit import steps as module
from jobs.kit.results import Parent
from jobs.kit.step_errors import StepRefused, StepRepeated, StepTooLarge, StepUnwritable, TooManySteps
from jobs.kit.steps import Given, KeptStep, Steps


class Diary(Steps):
    """Steps that remember what is kept."""

    __slots__ = ("kept", "places")

    def __init__(self, given: Given = module.NOTHING) -> None:
        super().__init__(given)
        self.kept: list[KeptStep] = []
        self.places: list[str] = []

    async def keep(self, step: KeptStep) -> None:
        self.kept.append(step)

    async def keep_checkpoint(self, value: str) -> None:
        self.places.append(value)


def run(steps: Steps, name: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    return steps.step(name, function, args, kwargs)


async def add(left: int, right: int = 1) -> int:
    return left + right


def thread_name() -> str:
    return threading.current_thread().name


def never() -> int:
    raise AssertionError("a step that was kept ran again")


async def test_a_step_runs_once_and_is_kept_with_its_times() -> None:
    steps = Diary()
    assert await run(steps, "a", add, 1, right=2) == 3
    [kept] = steps.kept
    assert (kept.name, kept.result) == ("a", "3")
    assert kept.started_at <= kept.finished_at


async def test_a_step_that_was_kept_does_not_run_again() -> None:
    steps = Diary(Given({"a": "7"}))
    assert await run(steps, "a", never) == 7
    assert steps.kept == []


async def test_a_plain_function_runs_in_a_thread_and_a_coroutine_function_on_the_loop() -> None:
    steps = Steps()
    assert await run(steps, "def", thread_name) != threading.current_thread().name

    async def on_loop() -> str:
        return thread_name()

    assert await run(steps, "async", on_loop) == threading.current_thread().name
    assert await run(steps, "lambda", lambda: add(1)) == 2


async def test_a_name_twice_in_an_attempt_is_refused_even_at_the_same_moment() -> None:
    steps = Diary()
    await run(steps, "a", add, 1)
    with pytest.raises(StepRepeated, match="'a'"):
        await run(steps, "a", add, 1)
    results = await asyncio.gather(*(run(steps, "b", add, n) for n in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [int, StepRepeated, StepRepeated]
    assert [step.name for step in steps.kept] == ["a", "b"]


async def test_a_step_that_was_kept_before_may_not_be_asked_for_twice_either() -> None:
    steps = Steps(Given({"a": "7"}))
    assert await run(steps, "a", add) == 7
    with pytest.raises(StepRepeated):
        await run(steps, "a", add)


async def test_a_step_that_failed_keeps_nothing_and_may_be_tried_again() -> None:
    steps = Diary()
    with pytest.raises(TypeError):
        await run(steps, "a", add, "x")
    assert steps.kept == []
    assert await run(steps, "a", add, 1) == 2


@pytest.mark.parametrize("name", ["", None, 7, "a\0b"])
async def test_a_name_that_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(StepRefused, match="a step's name is a text"):
        await run(Steps(), name, add, 1)


async def test_a_name_may_have_a_hundred_characters() -> None:
    assert await run(Steps(), "ä" * 100, add, 1) == 2
    with pytest.raises(StepTooLarge, match="100 characters, but this one has 101"):
        await run(Steps(), "a" * 101, add, 1)


async def test_a_coroutine_in_the_place_of_its_function_is_refused() -> None:
    with pytest.raises(StepRefused, match="pass its function and the args separately"):
        await run(Steps(), "a", add(1))


async def test_a_job_may_have_a_thousand_steps_those_of_other_attempts_included() -> None:
    steps = Steps(Given({f"s{number}": "1" for number in range(998)}))
    assert await run(steps, "s0", add) == 1
    await run(steps, "new", add, 1)
    with pytest.raises(TypeError):
        await run(steps, "fails", add, None)
    await run(steps, "last", add, 1)
    with pytest.raises(TooManySteps, match=r"1000 steps.*ctx\.checkpoint"):
        await run(steps, "one more", add, 1)
    assert await run(steps, "s1", add) == 1


async def test_all_results_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES_IN_ALL", 10)
    steps = Diary(Given({"a": '"123456"'}))
    await run(steps, "b", add, 9)
    with pytest.raises(TooManySteps, match=r"step 'c'.*10 bytes"):
        await run(steps, "c", add, 1)
    assert [step.name for step in steps.kept] == ["b"]


async def test_results_are_bounded_in_bytes_and_not_in_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES_IN_ALL", 10)
    steps = Diary(Given({"a": '"ä"'}))
    await run(steps, "b", lambda: "ää")
    with pytest.raises(TooManySteps, match=r"step 'c'.*10 bytes"):
        await run(steps, "c", lambda: 1)


async def test_what_cannot_be_read_back_is_not_kept() -> None:
    async def returns() -> int:
        return "one"  # type: ignore[return-value]

    steps = Diary()
    with pytest.raises(StepUnwritable):
        await run(steps, "a", returns)
    assert steps.kept == []


async def test_a_checkpoint_is_kept_as_json_and_restored_by_the_next_attempt() -> None:
    steps = Diary()
    assert steps.restored is None
    await steps.checkpoint({"page": 3, "ids": (1, 2)})
    assert Steps(Given(checkpoint=steps.places[0])).restored == {"page": 3, "ids": [1, 2]}
    assert steps.restored is None


async def test_a_checkpoint_that_is_too_large_or_no_json_is_refused() -> None:
    steps = Diary()
    with pytest.raises(StepTooLarge, match="keep only where to continue"):
        await steps.checkpoint("x" * 65_536)
    for value in (object(), [float("nan")]):
        with pytest.raises(StepUnwritable):
            await steps.checkpoint(value)
    assert steps.places == []


def test_results_are_those_of_the_parents() -> None:
    assert dict(Steps(Given(parents=(Parent("p", "load", "1"),))).results) == {"p": 1}
    assert dict(Steps().results) == {}
