"""Whatever a kind raises is written down: bounded, and without trusting the exception's own code."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from jobs.kit.outcomes import FailedElsewhere
from service.ledger.models import Failure
from service.worker.performing.failure import failure_of, leaves_of


def raised(error: BaseException) -> BaseException:
    """Return an error as `perform` sees it: with a traceback that begins in our own frame."""

    def kind() -> None:
        raise error

    try:
        kind()
    except BaseException as caught:  # noqa: BLE001 - any is meant
        return caught
    raise AssertionError


def test_a_traceback_shows_the_kind_and_its_causes_and_none_of_our_frames() -> None:
    error = ValueError("outer")
    error.__cause__ = raised(KeyError("inner"))
    failure = failure_of(raised(error))
    assert failure.traceback is not None
    own = failure.traceback.partition("direct cause")[2]
    assert "in kind" in own
    assert "in raised" not in own
    assert "KeyError: 'inner'" in failure.traceback
    assert failure.traceback.rstrip().endswith("ValueError: outer")


def test_an_error_that_was_never_raised_has_a_traceback_too() -> None:
    assert failure_of(ValueError("x")) == Failure("ValueError", "x", "ValueError: x\n")


@pytest.mark.parametrize("text", ["nul \0 byte", "lone \ud800 surrogate"])
def test_text_that_no_database_takes_is_replaced(text: str) -> None:
    failure = failure_of(raised(ValueError(text)))
    for part in (failure.message, failure.traceback or ""):
        assert "\0" not in part
        part.encode()
    assert failure.message.startswith(text[:4])


def test_long_errors_are_cut_and_keep_what_matters_most() -> None:
    failure = failure_of(raised(ValueError("begin" + "x" * 100_000 + "end")))
    assert len(failure.message) <= 4_000
    assert failure.message.startswith("begin")
    assert failure.traceback is not None
    assert len(failure.traceback) <= 16_000
    assert failure.traceback.rstrip().endswith("end")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_error_that_cannot_be_written_is_still_recorded() -> None:
    assert failure_of(raised(Mute())).type == "Mute"


class _Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError


class Hostile(Exception, metaclass=_Nameless):
    """Nothing can be asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise KeyboardInterrupt

    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __str__


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError

    __getitem__ = __len__ = replace = encode = __format__ = __str__  # type: ignore[assignment]


class Worded(Exception):
    def __str__(self) -> str:
        return Text("worded")


def _noted(notes: Any) -> BaseException:
    error = ValueError("noted")
    error.__notes__ = notes
    return error


def _circle() -> BaseException:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    return one


def _nested(depth: int) -> BaseException:
    error: Exception = ValueError("leaf")
    for _ in range(depth):
        error = ExceptionGroup("level", [error])
    return error


def _doubled(depth: int) -> BaseException:
    error: Exception = ValueError("leaf")
    for _ in range(depth):
        error = ExceptionGroup("level", [error, error])
    return error


# Made when they are wanted: some take a hundred megabytes.
ODD: dict[str, tuple[Callable[[], BaseException], str]] = {
    "hostile": (lambda: Hostile(), "Hostile"),
    "template error": (lambda: SyntaxError("x", ("p.tmpl", "12", "3", "{{")), "SyntaxError"),  # type: ignore[arg-type]
    "text of a class of its own": (lambda: Worded(), "Worded"),
    "notes that are no text": (lambda: _noted([1, Hostile(), Text("x")]), "ValueError"),
    "notes that are no list": (lambda: _noted(Hostile()), "ValueError"),
    "100,000 notes": (lambda: _noted(["note" * 1_000] * 100_000), "ValueError"),
    "circle of causes": (lambda: _circle(), "ValueError"),
    "100,000 errors": (lambda: ExceptionGroup("many", [ValueError(str(n)) for n in range(100_000)]), "ExceptionGroup"),
    "deep group": (lambda: _nested(5_000), "ExceptionGroup"),
    "the same error 2**60 times": (lambda: _doubled(60), "ExceptionGroup"),
    "long class name": (lambda: type("X" * 10_000, (Exception,), {})(), "X" * 200),
    "long message": (lambda: ValueError("x" * 100_000_000), "ValueError"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_error_is_written_down_soon_and_bounded(name: str) -> None:
    make, type_name = ODD[name]
    error = make()
    began = time.monotonic()
    failure = failure_of(error)
    assert failure.type == type_name
    assert len(failure.message) <= 4_000
    assert failure.traceback is not None
    assert len(failure.traceback) <= 16_000
    assert time.monotonic() - began < 5


def test_leaves_of_a_group_are_found_at_any_depth_and_once() -> None:
    one, other = ValueError(), KeyError()
    assert leaves_of(ExceptionGroup("", [one, ExceptionGroup("", [other, one])])) == [one, other]
    assert leaves_of(one) == [one]
    assert len(leaves_of(_doubled(60))) == 1


class _Untouchable:
    """Python 3.12 looks up what a `NameError` may have meant on the `self` of the frame."""

    def method(self) -> Any:
        return foo  # type: ignore[name-defined]  # noqa: F821

    @property
    def foo(self) -> Any:
        raise SystemExit

    def __getattr__(self, name: str) -> Any:
        raise KeyboardInterrupt


def test_name_error_in_a_method_asks_nothing_of_the_object() -> None:
    try:
        _Untouchable().method()
    except NameError as error:
        failure = failure_of(error)
    assert "foo" in failure.message


def test_group_shows_its_first_errors_and_counts_the_rest() -> None:
    failure = failure_of(ExceptionGroup("many", [ValueError(f"error {n}") for n in range(100)]))
    assert failure.traceback is not None
    assert "ValueError: error 0" in failure.traceback
    assert "and 95 more" in failure.traceback


def test_what_failed_elsewhere_is_shown_as_it_was_there_and_bounded() -> None:
    failure = failure_of(FailedElsewhere("SMTPException", "no route\0", "Traceback\n  mail.py\n"))
    assert failure == Failure("SMTPException", "no route\N{REPLACEMENT CHARACTER}", "Traceback\n  mail.py\n")
    large = failure_of(FailedElsewhere("E" * 10_000, "m" * 100_000, "t" * 100_000))
    assert len(large.type) <= 200
    assert len(large.message) <= 4_000
    assert large.traceback is not None
    assert len(large.traceback) <= 16_000
    assert failure_of(FailedElsewhere("E", "m")).traceback is None
