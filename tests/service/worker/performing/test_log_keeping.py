"""What is heard of the log: lines of attempts that run, bounded, and whatever a line is made of."""

import contextvars
import logging
from collections.abc import Sequence

import pytest

from jobs import Catalogue
from service.performing import Performing, performing
from service.worker.performing import log_keeping
from service.worker.performing.log_keeping import LogKeeping


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.fixture
def keeping() -> LogKeeping:
    return LogKeeping(Catalogue({}))


def attempt(job_id: str = "j", args: str = "{}") -> Performing:
    return Performing(job_id, "k", 1, args)


def within(one: Performing | None, lines: Sequence[object], *keepings: LogKeeping) -> None:
    """Log lines as an attempt does."""

    def say() -> None:
        performing.set(one)
        for line in lines:
            for keeping in keepings:
                keeping.handle(logging.LogRecord("a.library", logging.INFO, __file__, 1, line, None, None))

    contextvars.copy_context().run(say)


def texts(keeping: LogKeeping) -> dict[str, list[str]]:
    told = keeping.news()
    keeping.note_kept(told)
    return {kept.job_id: [line.text for line in kept.lines] for _, _, kept in told}


def test_only_lines_of_attempts_that_run_are_heard(keeping: LogKeeping) -> None:
    within(None, ["nobody's"], keeping)
    one, over = attempt(), attempt("over")
    over.is_over = True
    within(one, ["mine"], keeping)
    within(over, ["too late"], keeping)
    assert texts(keeping) == {"j": ["mine"]}


def test_attempt_is_forgotten_once_it_is_over_and_its_last_lines_are_recorded(keeping: LogKeeping) -> None:
    one = attempt()
    within(one, ["first"], keeping)
    assert texts(keeping) == {"j": ["first"]}
    assert keeping.has_any, "it runs"
    within(one, ["last"], keeping)
    one.is_over = True
    told = keeping.news()
    assert [[line.text for line in kept.lines] for _, _, kept in told] == [["last"]]
    assert keeping.has_any, "not recorded yet"
    keeping.note_kept(told)
    assert not keeping.has_any


def test_line_that_cannot_be_read_is_dropped_and_counted_and_raises_nothing(keeping: LogKeeping) -> None:
    within(attempt(), [Unspeakable(), "after it"], keeping)
    assert keeping.dropped == 1
    assert texts(keeping) == {"j": ["after it"]}


def test_what_is_not_recorded_is_bounded_over_all_attempts(
    keeping: LogKeeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_keeping, "MOST_BYTES", 100_000)
    for number in range(20):
        within(attempt(f"j{number}"), ["x" * 1_000] * 10, keeping)
    kept = sum(map(len, texts(keeping).values()))
    assert 90 < kept <= 100
    assert keeping.dropped == 200 - kept
    within(attempt("later"), ["there is room again"], keeping)
    assert texts(keeping) == {"later": ["there is room again"]}


def test_another_worker_of_the_same_process_keeps_no_line_twice(keeping: LogKeeping) -> None:
    other = LogKeeping(Catalogue({}))
    within(attempt(), ["one", "two"], keeping, other)
    assert texts(keeping) == {"j": ["one", "two"]}
    assert not other.has_any


def test_of_args_of_a_kind_that_nobody_knows_any_more_all_is_secret(keeping: LogKeeping) -> None:
    within(attempt(args='{"key": "a-secret-of-old"}'), ["it is a-secret-of-old"], keeping)
    assert texts(keeping) == {"j": ["it is **********"]}
