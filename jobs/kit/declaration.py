"""`@job`: declares a function as a kind, or refuses it with the file and the reason."""

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol, get_args, overload

from pydantic import BaseModel, TypeAdapter, ValidationError

from jobs.kit.cron import CronInvalid
from jobs.kit.fields import Unusable, check_fields
from jobs.kit.function_args import shown
from jobs.kit.job_options import (
    checked_lane,
    checked_max_attempts,
    checked_memory_mb,
    checked_name,
    checked_queue,
    checked_retry,
    checked_runs,
    checked_timeout,
)
from jobs.kit.kind import A, CatchUp, FunctionKind, JobFunction, Kind, P, R, Runs, T, is_async
from jobs.kit.lane import LaneOf
from jobs.kit.outcomes import Seconds
from jobs.kit.refused import Refused, describe
from jobs.kit.retry import RetryPolicy
from jobs.kit.round_trip import ArgsChanged
from jobs.kit.signature import read_signature
from jobs.kit.slo import read_slo

DEFAULT_TIMEOUT_S = 60.0


class CatalogueError(Exception):
    """A kind cannot be used as declared. The message names the file and the reason."""


class Decorator(Protocol):
    """The type of the decorator that `@job(...)` returns."""

    @overload  # the first match counts
    def __call__(self, function: JobFunction[A, R], /) -> Kind[A, R]: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, function: Callable[P, T], /) -> FunctionKind[P, T]: ...


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
    runs: Runs | None = None,
    memory_mb: int | None = None,
    slo: str | None = None,
) -> Decorator:
    """Declare a function as the kind `name`: its parameters are the args, one annotated `Context` gets the context.

    `(ctx: Context, args: SomeModel)` takes all args as that model. An `async def` runs on the worker's loop, a `def` in
    a thread.

    `timeout` bounds each attempt, in seconds or as a timedelta. `cron` is an expression in UTC: five fields, six that
    begin with seconds, or a name such as `@daily`; all args of such a kind need defaults. `catch_up` says
    which ticks that were due while no worker ran become jobs afterwards: "none", the "last" (the default) or "all".
    `max_attempts` is 5 by default, or one more than the `delays` of `retry`. `lane` is a function of the validated args
    that returns the key of a lane, a `Lane` with limits, or None; or a lane for all jobs of the kind.
    `runs="process"` runs each attempt in a child process, with at most `memory_mb` megabytes of memory.
    `slo` says how many of its jobs should succeed, and how soon after they were due: "99% in 60s".
    Raises `CatalogueError` if the declaration is not valid.
    """
    if callable(name):
        named = getattr(name, "__name__", "a_name")
        raise CatalogueError(f'{file_of(name)}: `@job` needs the name of the kind: write `@job("{named}")`')

    given = _Given(name, timeout, max_attempts, queue, cron, catch_up, retry, lane, runs, memory_mb, slo)

    def decorate(function: Any) -> Any:
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
    runs: Any
    memory_mb: Any
    slo: Any


def _declare(function: Any, given: _Given) -> Kind[Any, Any]:
    file = file_of(function)
    try:
        signature = read_signature(function)
        retry = checked_retry(given.retry)
        make = Kind[Any, Any] if signature.invoke is None and is_async(function) else FunctionKind[..., Any]
        kind = make(
            name=checked_name(given.name, "a name"),
            function=function,
            invoke=signature.invoke or function,
            args_model=signature.args_model,
            result_adapter=signature.result_adapter,
            timeout=checked_timeout(given.timeout),
            max_attempts=checked_max_attempts(given.max_attempts, retry),
            queue=checked_queue(given.queue),
            cron=given.cron,
            catch_up=given.catch_up or ("last" if given.cron is not None else None),
            retry=retry,
            file=file,
            lane=checked_lane(given.lane),
            runs=checked_runs(given.runs, function),
            memory_mb=checked_memory_mb(given.memory_mb, given.runs),
            slo=read_slo(given.slo),
        )
        _check_args(kind)
        _check_cron(kind)
        _check_lane_of_ticks(kind)
    except Refused as refusal:
        raise CatalogueError(f"{file}: kind {given.name!r}: {refusal}") from refusal.__cause__
    return kind


def file_of(function: Any) -> str:
    """Return the file that defines a function or class."""
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


def _check_args(kind: Kind[Any, Any]) -> None:
    has_own_parameters = kind.invoke is not kind.function
    what = shown(kind.function) if has_own_parameters else f"args {kind.args_model.__name__}"
    noun = "parameter" if has_own_parameters else "field"
    try:
        check_fields(kind.args_model, noun)
        door_model = kind.door_model
        if not kind.round_trip.is_proved:
            door_model.model_json_schema()
    except Unusable as error:
        raise Refused(f"{what}: {error}") from error
    except Exception as error:
        place = next((f": {noun} {name!r}" for name in _without_schema(kind.args_model)), "")
        raise Refused(f"{what} cannot be sent as JSON{place} ({describe(error)})") from error


def _without_schema(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        try:
            TypeAdapter[Any](field.annotation or Any).json_schema()
        except Exception:  # noqa: BLE001 - whatever it is, this is the field
            yield field.alias or name


def _check_cron(kind: Kind[Any, Any]) -> None:
    if kind.catch_up not in (None, *get_args(CatchUp)):
        raise Refused(f"catch_up must be one of {', '.join(get_args(CatchUp))}")
    if kind.cron is None:
        if kind.catch_up is not None:
            raise Refused("catch_up is for kinds with cron=: it says what to do with missed ticks")
        return
    if not isinstance(kind.cron, str):
        _refuse_cron(kind, "it is not text")
    try:
        _ = kind.expression
    except CronInvalid as error:
        _refuse_cron(kind, str(error), error)
    try:
        kind.accept(None)
    except ValidationError as error:
        raise Refused("a kind with cron= needs a default for each field of its args, or parameter") from error
    except ArgsChanged as error:
        raise Refused(f"a kind with cron= runs with the defaults of its args: {error}") from error


def _check_lane_of_ticks(kind: Kind[Any, Any]) -> None:
    """Try the lane function of a kind whose args are known: nobody could correct the args of a tick."""
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
