"""The catalogue: all kinds, each declared by `@job` in a file of its own."""

import importlib
import inspect
import os
import pkgutil
import sys
import traceback
import types
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args, get_type_hints

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, TypeAdapter, ValidationError

from jobs.context import Context
from jobs.outcomes import Seconds, to_timedelta
from jobs.retry import RetryPolicy
from jobs.sealing import dump_whole

A = TypeVar("A", bound=BaseModel)
R = TypeVar("R")
JobFunction = Callable[[Context, A], Awaitable[R]]
CatchUp = Literal["none", "last", "all"]

DEFAULT_TIMEOUT = timedelta(seconds=60)
DEFAULT_MAX_ATTEMPTS = 5


class CatalogueError(Exception):
    """A kind cannot be used as declared. The message names the file and the reason."""


@dataclass(frozen=True)
class Kind(Generic[A, R]):
    """A named sort of job: its args, its function, and how its attempts are run. Calling it calls the function."""

    name: str
    function: JobFunction[A, R]
    args_model: type[A]
    result_adapter: TypeAdapter[R]
    timeout: timedelta
    max_attempts: int
    queue: str
    cron: str | None
    catch_up: CatchUp | None
    retry: RetryPolicy
    file: str

    async def __call__(self, ctx: Context, args: A) -> R:
        return await self.function(ctx, args)

    @property
    def description(self) -> str:
        return inspect.getdoc(self.function) or ""

    @cached_property
    def args_schema(self) -> dict[str, Any]:
        """The JSON Schema of the args."""
        return self.args_model.model_json_schema()

    @cached_property
    def has_secrets(self) -> bool:
        """Whether a field of the args, at any depth, is a `SecretStr`, `SecretBytes` or `Secret`.

        Asked of Pydantic's own schema: the JSON Schema tells of the first two only.
        """
        return "Secret" in str(self.args_model.__pydantic_core_schema__)

    def dump_args(self, args: BaseModel) -> tuple[str, str | None]:
        """Write args as JSON: as shown to readers, and whole for the attempt (None where they are the same)."""
        # As the model reads it back: under the aliases, without computed fields.
        shown = args.model_dump_json(by_alias=True, round_trip=True)
        return shown, dump_whole(args) if self.has_secrets else None

    def load_args(self, stored: str) -> A:
        """Read args from the ledger. Raises `pydantic.ValidationError` when the model has changed since."""
        return self.args_model.model_validate_json(stored, by_alias=True, by_name=True)

    def dump_result(self, value: R) -> str:
        """Write a result as JSON. Raises `pydantic_core.PydanticSerializationError`."""
        return self.result_adapter.dump_json(value, warnings="error").decode()

    def ticks_after(self, moment: datetime) -> Iterator[datetime]:
        """Give the due times of the cron expression (UTC) after `moment`, without end."""
        return CronSim(self._expression, moment.astimezone(UTC))

    def ticks_until(self, moment: datetime) -> Iterator[datetime]:
        """Give the due times of the cron expression (UTC) up to and with `moment`, latest first, for 50 years back."""
        return CronSim(self._expression, moment.astimezone(UTC) + timedelta(microseconds=1), reverse=True)

    @property
    def _expression(self) -> str:
        if self.cron is None:
            raise ValueError(f"kind {self.name!r} has no cron expression")
        return self.cron


def job(
    name: str,
    *,
    timeout: Seconds = DEFAULT_TIMEOUT,
    max_attempts: int | None = None,
    queue: str = "default",
    cron: str | None = None,
    catch_up: CatchUp | None = None,
    retry: RetryPolicy | None = None,
) -> Callable[[JobFunction[A, R]], Kind[A, R]]:
    """Declare an async function `(ctx: Context, args: SomeModel) -> result` as the kind `name`.

    `timeout` bounds each attempt, in seconds or as a timedelta. `cron` is a five-field expression in UTC, or a
    six-field one that begins with seconds; such a kind's args must have defaults throughout. `catch_up` says which
    ticks that came due while no worker ran become jobs afterwards: "none", the "last" (the default) or "all".
    `max_attempts` is 5 by default, or one more than the `delays` of `retry`.
    Raises `CatalogueError` where the declaration does not hold.
    """

    def declare(function: JobFunction[A, R]) -> Kind[A, R]:
        file = _file_of(function)

        def refuse(reason: str) -> CatalogueError:
            return CatalogueError(f"{file}: kind {name!r}: {reason}")

        if not inspect.iscoroutinefunction(function):
            raise refuse(
                "the function must be declared with `async def`; run blocking work by `await ctx.thread(fn, ...)`"
            )
        args_model, returns = _annotations(function, refuse)
        policy = retry or RetryPolicy()
        attempts = len(policy.delays) + 1 if policy.delays else DEFAULT_MAX_ATTEMPTS
        kind = Kind(
            name=name,
            function=function,
            args_model=args_model,
            result_adapter=TypeAdapter(returns),
            timeout=to_timedelta(timeout),
            max_attempts=attempts if max_attempts is None else max_attempts,
            queue=queue,
            cron=cron,
            catch_up=catch_up or ("last" if cron is not None else None),
            retry=policy,
            file=file,
        )
        _check_limits(kind, refuse)
        _check_cron(kind, refuse)
        return kind

    return declare


def _file_of(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    return _shown(Path(code.co_filename)) if isinstance(code, types.CodeType) else "?"


def _shown(path: Path) -> str:
    cwd = Path.cwd()
    return str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)


def _annotations(function: Callable[..., Any], refuse: Callable[[str], CatalogueError]) -> tuple[Any, Any]:
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != 2:
        raise refuse("the function takes exactly two parameters: `ctx: Context` and `args` of a Pydantic model")
    hints = get_type_hints(function, include_extras=True)
    args_model = hints.get(parameters[1].name)
    if not (isinstance(args_model, type) and issubclass(args_model, BaseModel)):
        raise refuse(f"parameter {parameters[1].name!r} must be annotated with a Pydantic model")
    return args_model, hints.get("return", Any)


def _check_limits(kind: Kind[Any, Any], refuse: Callable[[str], CatalogueError]) -> None:
    if not kind.name or len(kind.name) > 100 or "\0" in kind.name:
        raise refuse("a name has 1 to 100 characters")
    if kind.timeout <= timedelta(0):
        raise refuse("timeout must be above 0")
    if kind.max_attempts < 1:
        raise refuse("max_attempts must be at least 1")


def _check_cron(kind: Kind[Any, Any], refuse: Callable[[str], CatalogueError]) -> None:
    if kind.catch_up not in (None, *get_args(CatchUp)):
        raise refuse(f"catch_up must be one of {', '.join(get_args(CatchUp))}")
    if kind.cron is None:
        if kind.catch_up is not None:
            raise refuse("catch_up is for kinds with cron=: it says what becomes of ticks that were missed")
        return
    try:
        next(kind.ticks_after(datetime.now(UTC)))
    except (CronSimError, StopIteration) as error:
        raise refuse(f"cron expression {kind.cron!r} is not valid ({error or 'it never comes due'})") from error
    try:
        kind.args_model()
    except ValidationError as error:
        raise refuse("a kind with cron= needs a default for each field of its args") from error


@dataclass(frozen=True)
class Catalogue(Mapping[str, Kind[Any, Any]]):
    """All kinds by name."""

    kinds: dict[str, Kind[Any, Any]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Kind[Any, Any]:
        return self.kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.kinds)

    def __len__(self) -> int:
        return len(self.kinds)

    def add(self, kind: Kind[Any, Any]) -> None:
        """Add `kind`; adding the same one twice is harmless. Raises `CatalogueError` when its name is taken."""
        known = self.kinds.setdefault(kind.name, kind)
        if known is not kind:
            raise CatalogueError(f"{kind.file}: kind {kind.name!r}: the name is taken by {known.file}")


def load(modules: Sequence[str] = ()) -> Catalogue:
    """Collect the kinds of this package and of `modules` (import paths). Raises `CatalogueError`."""
    catalogue = Catalogue()
    package = importlib.import_module("jobs")
    names = [f"jobs.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    for name in [*names, *modules]:
        for value in vars(_import(name)).values():
            if isinstance(value, Kind):
                catalogue.add(value)
    return catalogue


def _import(name: str) -> types.ModuleType:
    # A console script's path lacks the folder it is called from, which is where a user's modules are.
    if (cwd := os.getcwd()) not in sys.path:  # noqa: PTH109 - sys.path holds strings
        sys.path.append(cwd)
    try:
        return importlib.import_module(name)
    except CatalogueError:
        raise
    except (Exception, SystemExit) as error:
        named = "the module" if name.startswith("jobs.") else "the module named by POSTLUDE_JOBS"
        reason = f"{type(error).__name__}: {error}{_line_of(error)}"
        raise CatalogueError(f"{name}: {named} cannot be imported: {reason}") from error


def _line_of(error: BaseException) -> str:
    """Say at which line of a module its import failed; nothing when no line of it was run."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
    return f" ({_shown(Path(lines[-1].filename))}, line {lines[-1].lineno})" if lines else ""
