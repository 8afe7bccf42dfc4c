"""Reads a function and its `@job` as a kind, or refuses them with the file and the reason."""

import functools
import inspect
import types
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, get_args, get_type_hints

from cronsim import CronSimError
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from jobs.kit.fields import Unusable, check_fields
from jobs.kit.kind import CatchUp, Kind
from jobs.kit.outcomes import to_timedelta
from jobs.kit.retry import RetryPolicy
from jobs.kit.round_trip import ArgsChanged

_LONGEST_NAME = 100
# A due time must be one that a calendar has.
_LONGEST_WAIT = timedelta(days=3650)
_MOST_ATTEMPTS = 1_000_000
DEFAULT_MAX_ATTEMPTS = 5


class CatalogueError(Exception):
    """A kind cannot be used as declared. The message names the file and the reason."""


class _Refused(Exception):
    """The reason why a declaration does not hold."""


def declare(function: Any, name: str, *, cron: Any, catch_up: Any, **options: Any) -> Kind[Any, Any]:
    """Make a kind of `function`. Raises `CatalogueError`."""
    file = file_of(function)
    try:
        _check_function(function)
        args_model, returns = _annotations(function)
        retry = _policy(options["retry"])
        kind = Kind(
            name=_name(name, "a name"),
            function=function,
            args_model=_complete(args_model),
            result_adapter=_result_adapter(returns),
            timeout=_timeout(options["timeout"]),
            max_attempts=_max_attempts(options["max_attempts"], retry),
            queue=_queue(options["queue"]),
            cron=cron,
            catch_up=catch_up or ("last" if cron is not None else None),
            retry=retry,
            file=file,
        )
        _check_args(kind)
        _check_cron(kind)
    except _Refused as refusal:
        raise CatalogueError(f"{file}: kind {name!r}: {refusal}") from refusal.__cause__
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


def _check_function(function: Any) -> None:
    if isinstance(function, Kind):
        raise _Refused(f"the function is the kind {function.name!r} already; one function is one kind")
    if inspect.isclass(function):
        raise _Refused("it decorates a class; it belongs on a function, declared with `async def`")
    if inspect.isasyncgenfunction(function):
        raise _Refused("the function has a `yield`: it must return its result, and tell how far it is by ctx.progress")
    if not inspect.isfunction(function):
        raise _Refused(f"it decorates a {type(function).__name__}; it belongs on a function, declared with `async def`")
    if not inspect.iscoroutinefunction(function):
        raise _Refused(
            "the function must be declared with `async def`; run blocking work by `await ctx.thread(fn, ...)`"
        )


def _annotations(function: Callable[..., Any]) -> tuple[Any, Any]:
    parameters = list(inspect.signature(function).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) != 2 or any(parameter.kind not in positional for parameter in parameters):
        raise _Refused("the function takes exactly two parameters: `ctx: Context` and `args` of a Pydantic model")
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:
        raise _Refused(
            f"its annotations cannot be read ({_said(error)}); what they name must be imported at run time,"
            " not under `if TYPE_CHECKING`"
        ) from error
    args_model = hints.get(parameters[1].name)
    if not (isinstance(args_model, type) and issubclass(args_model, BaseModel)):
        raise _Refused(f"parameter {parameters[1].name!r} must be annotated with a Pydantic model")
    return args_model, hints.get("return", Any)


def _complete(model: type[BaseModel]) -> type[BaseModel]:
    try:
        model.model_rebuild()
    except Exception as error:
        raise _Refused(f"its args {model.__name__} are not a whole model ({_said(error)})") from error
    return model


def _result_adapter(returns: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(returns)
    except Exception as error:
        raise _Refused(
            f"what it returns cannot be written as JSON ({_said(error)}); annotate a type that can"
        ) from error


def _said(error: Exception) -> str:
    text = error.message if isinstance(error, PydanticUserError) else str(error)
    return f"{type(error).__name__}: {text.strip().partition(chr(10))[0]}"


def _name(name: Any, what: str) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME or not _is_storable(name):
        raise _Refused(f"{what} has 1 to {_LONGEST_NAME} characters")
    return name


def _is_storable(text: str) -> bool:
    return "\0" not in text and text == text.encode(errors="ignore").decode()


def _queue(queue: Any) -> str:
    text = _name(queue, "queue")
    if "," in text or text != text.strip():
        raise _Refused("queue is a name that POSTLUDE_QUEUES can list: without commas, and spaces around it")
    return text


def _timeout(value: Any) -> timedelta:
    timeout = _duration(value, "timeout")
    if timeout <= timedelta(0):
        raise _Refused("timeout must be above 0")
    return timeout


def _duration(value: Any, what: str) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise _Refused(f"{what} is a number of seconds or a timedelta, not {value!r}")
    try:
        duration = to_timedelta(value)
    except (ValueError, OverflowError):
        duration = None
    if duration is None or duration > _LONGEST_WAIT:
        raise _Refused(f"{what} must be a finite number of seconds, at most {_LONGEST_WAIT.days} days, not {value!r}")
    return duration


def _max_attempts(value: Any, retry: RetryPolicy) -> int:
    if value is None:
        return len(retry.delays) + 1 if retry.delays else DEFAULT_MAX_ATTEMPTS
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_ATTEMPTS:
        raise _Refused(f"max_attempts is a whole number from 1 to {_MOST_ATTEMPTS:,}, not {value!r}")
    return value


def _policy(policy: Any) -> RetryPolicy:
    if not isinstance(policy, RetryPolicy):
        raise _Refused(f"retry is a RetryPolicy, not {policy!r}")
    return policy


def _check_args(kind: Kind[Any, Any]) -> None:
    try:
        check_fields(kind.args_model)
        door_model = kind.door_model
        if not kind.round_trip.is_proved:
            door_model.model_json_schema()
    except Unusable as error:
        raise _Refused(f"args {kind.args_model.__name__}: {error}") from error
    except Exception as error:
        raise _Refused(f"args {kind.args_model.__name__} cannot be sent as JSON ({_said(error)})") from error


def _check_cron(kind: Kind[Any, Any]) -> None:
    if kind.catch_up not in (None, *get_args(CatchUp)):
        raise _Refused(f"catch_up must be one of {', '.join(get_args(CatchUp))}")
    if kind.cron is None:
        if kind.catch_up is not None:
            raise _Refused("catch_up is for kinds with cron=: it says what becomes of ticks that were missed")
        return
    if not isinstance(kind.cron, str):
        _refuse_cron(kind, "it is no text")
    try:
        next(kind.ticks_after(datetime.now(UTC)))
    except (CronSimError, StopIteration) as error:
        _refuse_cron(kind, str(error) or "it never comes due", error)
    try:
        kind.accept(None)
    except ValidationError as error:
        raise _Refused("a kind with cron= needs a default for each field of its args") from error
    except ArgsChanged as error:
        raise _Refused(f"a kind with cron= runs with the defaults of its args: {error}") from error


def _refuse_cron(kind: Kind[Any, Any], reason: str, cause: Exception | None = None) -> NoReturn:
    raise _Refused(f"cron expression {kind.cron!r} is not valid ({reason})") from cause
