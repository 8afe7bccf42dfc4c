"""`@job`: declares a function as a kind, or refuses it with the file and the reason."""

import functools
import inspect
import types
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, get_args

from pydantic import ValidationError

from jobs.kit.cron import CronInvalid
from jobs.kit.fields import Unusable, check_fields
from jobs.kit.kind import A, CatchUp, JobFunction, Kind, R
from jobs.kit.lane import LaneOf, to_lane
from jobs.kit.outcomes import Seconds, to_timedelta
from jobs.kit.retry import RetryPolicy
from jobs.kit.round_trip import ArgsChanged
from jobs.kit.signature import Refused, describe, read_signature

_LONGEST_NAME = 100
# A due time must be one that a calendar has.
_LONGEST_WAIT = timedelta(days=3650)
_MOST_ATTEMPTS = 1_000_000
DEFAULT_MAX_ATTEMPTS = 5
DEFAULT_TIMEOUT_S = 60.0


class CatalogueError(Exception):
    """A kind cannot be used as declared. The message names the file and the reason."""


def job(
    name: str,
    *,
    timeout: Seconds = DEFAULT_TIMEOUT_S,
    max_attempts: int | None = None,
    queue: str = "default",
    cron: str | None = None,
    catch_up: CatchUp | None = None,
    retry: RetryPolicy | None = None,
    lane: LaneOf | None = None,
) -> Callable[[JobFunction[A, R]], Kind[A, R]]:
    """Declare an async function `(ctx: Context, args: SomeModel) -> result` as the kind `name`.

    `timeout` bounds each attempt, in seconds or as a timedelta. `cron` is an expression in UTC: five fields, six that
    begin with seconds, or a name such as `@daily`; such a kind's args must have defaults throughout. `catch_up` says
    which ticks that came due while no worker ran become jobs afterwards: "none", the "last" (the default) or "all".
    `max_attempts` is 5 by default, or one more than the `delays` of `retry`. `lane` is a function of the validated args
    that returns the key of a lane, a `Lane` with limits, or None; or a lane for all jobs of the kind.
    Raises `CatalogueError` where the declaration does not hold.
    """
    if callable(name):
        named = getattr(name, "__name__", "a_name")
        raise CatalogueError(f'{file_of(name)}: `@job` needs the name of the kind: write `@job("{named}")`')

    given = _Given(name, timeout, max_attempts, queue, cron, catch_up, retry, lane)

    def decorate(function: JobFunction[A, R]) -> Kind[A, R]:
        return _declare(function, given)

    return decorate


class _Given(NamedTuple):
    """What an author wrote in `@job(...)`: of any type, until it is checked."""

    name: Any
    timeout: Any
    max_attempts: Any
    queue: Any
    cron: Any
    catch_up: Any
    retry: Any
    lane: Any


def _declare(function: Any, given: _Given) -> Kind[Any, Any]:
    file = file_of(function)
    try:
        args_model, result_adapter = read_signature(function)
        retry = _retry(given.retry)
        kind = Kind(
            name=_name(given.name, "a name"),
            function=function,
            args_model=args_model,
            result_adapter=result_adapter,
            timeout=_timeout(given.timeout),
            max_attempts=_max_attempts(given.max_attempts, retry),
            queue=_queue(given.queue),
            cron=given.cron,
            catch_up=given.catch_up or ("last" if given.cron is not None else None),
            retry=retry,
            file=file,
            lane=_lane(given.lane),
        )
        _check_args(kind)
        _check_cron(kind)
        _check_lane_of_ticks(kind)
    except Refused as refusal:
        raise CatalogueError(f"{file}: kind {given.name!r}: {refusal}") from refusal.__cause__
    return kind


def file_of(function: Any) -> str:
    """Return the file that a function or class stands in."""
    if isinstance(function, functools.partial):
        return file_of(function.func)
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if isinstance(code, types.CodeType):
        return shown_path(Path(code.co_filename))
    try:
        return shown_path(Path(inspect.getfile(function)))
    except (TypeError, OSError):
        return "?"


def shown_path(path: Path) -> str:
    cwd = Path.cwd()
    return str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)


def _name(name: Any, what: str) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME or not _is_storable(name):
        raise Refused(f"{what} has 1 to {_LONGEST_NAME} characters")
    return name


def _is_storable(text: str) -> bool:
    return "\0" not in text and text == text.encode(errors="ignore").decode()


def _queue(queue: Any) -> str:
    text = _name(queue, "queue")
    if "," in text or text != text.strip():
        raise Refused("queue is a name that POSTLUDE_QUEUES can list: without commas, and spaces around it")
    return text


def _timeout(value: Any) -> timedelta:
    timeout = _duration(value, "timeout")
    if timeout <= timedelta(0):
        raise Refused("timeout must be above 0")
    return timeout


def _duration(value: Any, what: str) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise Refused(f"{what} is a number of seconds or a timedelta, not {value!r}")
    try:
        duration = to_timedelta(value)
    except (ValueError, OverflowError):
        duration = None
    if duration is None or duration > _LONGEST_WAIT:
        raise Refused(f"{what} must be a finite number of seconds, at most {_LONGEST_WAIT.days} days, not {value!r}")
    return duration


def _max_attempts(value: Any, retry: RetryPolicy) -> int:
    if value is None:
        return len(retry.delays) + 1 if retry.delays else DEFAULT_MAX_ATTEMPTS
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_ATTEMPTS:
        raise Refused(f"max_attempts is a whole number from 1 to {_MOST_ATTEMPTS:,}, not {value!r}")
    return value


def _retry(value: Any) -> RetryPolicy:
    policy = RetryPolicy() if value is None else value
    if not isinstance(policy, RetryPolicy):
        raise Refused(f"retry is a RetryPolicy, not {value!r}")
    return policy


def _lane(value: Any) -> LaneOf | None:
    if not callable(value):
        return _constant_lane(value)
    if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value):
        raise Refused("lane is a plain function, which returns at once: write `def` or a lambda, not `async def`")
    try:
        inspect.signature(value).bind(object())
    except TypeError as error:
        raise Refused(f"lane is a function of the args alone, and cannot be called so ({describe(error)})") from error
    except ValueError:  # a builtin tells no signature
        pass
    return value  # type: ignore[no-any-return]


def _constant_lane(value: Any) -> LaneOf | None:
    try:
        return to_lane(value)
    except ValueError as error:
        raise Refused(f"lane: {error}") from error


def _check_args(kind: Kind[Any, Any]) -> None:
    try:
        check_fields(kind.args_model)
        door_model = kind.door_model
        if not kind.round_trip.is_proved:
            door_model.model_json_schema()
    except Unusable as error:
        raise Refused(f"args {kind.args_model.__name__}: {error}") from error
    except Exception as error:
        raise Refused(f"args {kind.args_model.__name__} cannot be sent as JSON ({describe(error)})") from error


def _check_cron(kind: Kind[Any, Any]) -> None:
    if kind.catch_up not in (None, *get_args(CatchUp)):
        raise Refused(f"catch_up must be one of {', '.join(get_args(CatchUp))}")
    if kind.cron is None:
        if kind.catch_up is not None:
            raise Refused("catch_up is for kinds with cron=: it says what becomes of ticks that were missed")
        return
    if not isinstance(kind.cron, str):
        _refuse_cron(kind, "it is no text")
    try:
        _ = kind.expression
    except CronInvalid as error:
        _refuse_cron(kind, str(error), error)
    try:
        kind.accept(None)
    except ValidationError as error:
        raise Refused("a kind with cron= needs a default for each field of its args") from error
    except ArgsChanged as error:
        raise Refused(f"a kind with cron= runs with the defaults of its args: {error}") from error


def _check_lane_of_ticks(kind: Kind[Any, Any]) -> None:
    """Try the lane function of a kind whose args are known: a tick has nobody who could mend them."""
    if kind.cron is None:
        return
    try:
        kind.lane_of(kind.accept(None))
    except Exception as error:
        raise Refused(
            f"its lane function fails on the defaults of its args, with which cron= runs it ({describe(error)})"
        ) from error


def _refuse_cron(kind: Kind[Any, Any], reason: str, cause: Exception | None = None) -> NoReturn:
    raise Refused(f"cron expression {kind.cron!r} is not valid ({reason})") from cause
