from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import (
    BaseModel,
    Field,
)

from jobs import CatalogueError, Context, Kind, RetryPolicy, job
from tests.jobs.kit.declaring import plain, refusal


class Need(BaseModel):
    what: str


async def needy(ctx: Context, args: Need) -> None: ...


class Callback(BaseModel):
    call: Callable[[], int]


async def of_callback(ctx: Context, args: Callback) -> None: ...


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *", "@often", "0 0 30 2 *", "every day"])
def test_a_bad_cron_expression_is_refused_with_its_file_and_the_expression(cron: str) -> None:
    message = refusal(plain, cron=cron)
    assert message.startswith("tests/jobs/kit/declaring.py: kind 'bad': cron expression ")
    assert repr(cron) in message


def test_a_cron_kind_whose_args_have_no_defaults_is_refused() -> None:
    assert "needs a default for each field" in refusal(needy, cron="* * * * *")


def test_catch_up_defaults_to_the_last_tick_and_to_nothing_without_cron() -> None:
    assert job("ticks", cron="* * * * *")(plain).catch_up == "last"
    assert job("ticks", cron="* * * * *", catch_up="all")(plain).catch_up == "all"
    assert job("once")(plain).catch_up is None


@pytest.mark.parametrize(("cron", "catch_up"), [(None, "last"), (None, "some"), ("* * * * *", "some")])
def test_an_unknown_catch_up_is_refused(cron: str | None, catch_up: Any) -> None:
    assert "catch_up" in refusal(plain, cron=cron, catch_up=catch_up)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1}, {"max_attempts": 0}])
def test_limits_that_let_nothing_run_are_refused(options: dict[str, Any]) -> None:
    assert next(iter(options)) in refusal(plain, **options)


@pytest.mark.parametrize("name", ["", "x" * 101, "nul\0"])
def test_a_name_that_the_ledger_cannot_keep_is_refused(name: str) -> None:
    assert "1 to 100 characters" in refusal(plain, name)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"timeout": NAN}, "timeout must be a finite number of seconds"),
        ({"timeout": INF}, "timeout must be a finite number of seconds"),
        ({"timeout": 1e30}, "timeout must be a finite number of seconds"),
        ({"timeout": timedelta.max}, "timeout must be a finite number of seconds"),
        ({"timeout": 1e-9}, "timeout must be above 0"),
        ({"timeout": "30"}, "timeout is a number of seconds or a timedelta"),
        ({"timeout": True}, "timeout is a number of seconds or a timedelta"),
        ({"timeout": None}, "timeout is a number of seconds or a timedelta"),
        ({"max_attempts": True}, "max_attempts is a whole number"),
        ({"max_attempts": 2.5}, "max_attempts is a whole number"),
        ({"max_attempts": 10**30}, "max_attempts is a whole number"),
        ({"queue": ""}, "queue has 1 to 100 characters"),
        ({"queue": "q" * 101}, "queue has 1 to 100 characters"),
        ({"queue": "a\0b"}, "queue has 1 to 100 characters"),
        ({"queue": None}, "queue has 1 to 100 characters"),
        ({"queue": "a,b"}, "without commas"),
        ({"queue": " a"}, "without commas"),
        ({"name": "\ud800"}, "a name has 1 to 100 characters"),
        ({"name": 7}, "a name has 1 to 100 characters"),
        ({"cron": 7}, "cron expression 7 is not valid"),
        ({"retry": 3}, "retry is a RetryPolicy"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], reason: str) -> None:
    message = refusal(plain, **options)
    assert reason in message
    assert message.startswith("tests/jobs/kit/declaring.py: kind ")


def test_a_cap_below_the_base_that_nobody_chose_is_taken() -> None:
    assert job("soon", retry=RetryPolicy(cap=1))(plain).retry.cap == 1


def test_job_without_its_parentheses_says_what_to_write() -> None:
    with pytest.raises(CatalogueError, match=r'^tests/jobs/kit/declaring\.py: .*write `@job\("plain"\)`$'):
        job(plain)  # type: ignore[arg-type]  # what is tested
    with pytest.raises(CatalogueError, match=r"`@job` needs the name"):
        job(Need)  # type: ignore[arg-type]


def test_a_cron_kind_whose_defaults_do_not_hold_is_refused() -> None:
    class Nothing(BaseModel):
        count: int = Field(default_factory=lambda: None)  # type: ignore[assignment]

    async def tick(ctx: Context, args: Any) -> None: ...

    tick.__annotations__["args"] = Nothing
    assert "runs with the defaults of its args: count: " in refusal(tick, cron="* * * * *")


def test_args_that_json_cannot_hold_are_refused() -> None:
    assert "args Callback cannot be sent as JSON: field 'call' (" in refusal(of_callback)


@pytest.mark.parametrize(
    ("lane", "reason"),
    [
        (7, "lane: a lane is text, a Lane or None, not 7"),
        (
            "kind:greet",
            "lane: a lane's key does not begin with `kind:` or `queue:`, which name kinds and queues: 'kind:greet'",
        ),
        ("a*", "lane: a lane's key has no `*`, which is for patterns of keys: 'a*'"),
        (lambda: "a", "lane is a function of only the args, but cannot be called so (TypeError: too many"),
        (lambda args, ctx: "a", "lane is a function of only the args, but cannot be called so (TypeError: missing"),
        (plain, "lane is a plain function that returns at once: write `def` or a lambda, not `async def`"),
    ],
    ids=["a number", "reserved", "a pattern", "no args", "more than args", "async"],
)
def test_a_lane_that_no_job_could_have_is_refused(lane: Any, reason: str) -> None:
    assert f"kind 'bad': {reason}" in refusal(plain, lane=lane)


def test_a_lane_function_that_fails_on_the_defaults_of_a_cron_kind_is_refused() -> None:
    told = refusal(plain, cron="* * * * *", lane=lambda args: args.town)
    assert "kind 'bad': its lane function fails on the defaults of its args, with which cron= runs it" in told
    assert "AttributeError" in told


def in_a_thread(name: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "where"),
    [
        (plain, {}, ("loop", None)),
        (plain, {"runs": "loop"}, ("loop", None)),
        (in_a_thread, {}, ("thread", None)),
        (in_a_thread, {"runs": "thread"}, ("thread", None)),
        (in_a_thread, {"runs": "process", "memory_mb": 512}, ("process", 512)),
        (plain, {"runs": "process"}, ("process", None)),
    ],
)
def test_a_kind_knows_where_it_runs(function: Any, options: dict[str, Any], where: tuple[str, int | None]) -> None:
    kind: Kind[Any, Any] = job("placed", **options)(function)
    assert (kind.runs, kind.memory_mb) == where


@pytest.mark.parametrize(
    ("function", "options", "reason"),
    [
        (plain, {"runs": "thread"}, "an `async def` runs on the loop: leave out runs="),
        (in_a_thread, {"runs": "loop"}, "a `def` runs in a thread: leave out runs="),
        (in_a_thread, {"runs": "pool"}, "runs is \"process\" or left out, not 'pool'"),
        (in_a_thread, {"memory_mb": 512}, 'memory_mb is for kinds with runs="process"'),
        (in_a_thread, {"runs": "process", "memory_mb": 1}, "memory_mb is a whole number of megabytes from 128"),
        (in_a_thread, {"runs": "process", "memory_mb": True}, "memory_mb is a whole number of megabytes from 128"),
    ],
)
def test_where_a_kind_cannot_run_is_refused(function: Any, options: dict[str, Any], reason: str) -> None:
    assert reason in refusal(function, **options)
