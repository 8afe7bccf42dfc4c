"""A kind: a named sort of job. How its args are accepted at the doors, written for the ledger, and read back."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic, Literal, ParamSpec, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from jobs.kit.context import Context
from jobs.kit.cron import Expression, expression
from jobs.kit.file_ids import files_in, names_files
from jobs.kit.keys import keys_of
from jobs.kit.lane import Lane, LaneOf, to_lane
from jobs.kit.names import names_of, strict_about_names, without_unknown_names
from jobs.kit.retry import RetryPolicy
from jobs.kit.round_trip import ArgsChanged, RoundTrip, Written, check_whole, round_trip_of, written_by
from jobs.kit.sealing import dump_whole, has_secrets
from jobs.kit.slo import Slo
from jobs.kit.thread_context import in_thread

A = TypeVar("A", bound=BaseModel)
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
JobFunction = Callable[[Context, A], Awaitable[R]]
CatchUp = Literal["none", "last", "all"]
Runs = Literal["loop", "thread", "process"]


def is_async(function: Any) -> bool:
    """Whether a function is an `async def`, perhaps below decorators that say what they wrap."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inspect.unwrap(function))


@dataclass(frozen=True)
class Kind(Generic[A, R]):
    """A named sort of job: its args, its function, and how its attempts are run. Calling it calls the function.

    `invoke` calls the function with a context and args, whatever parameters it has.
    """

    name: str
    function: JobFunction[A, R]
    invoke: Callable[[Context, A], Any]
    args_model: type[A]
    result_adapter: TypeAdapter[R]
    timeout: timedelta
    max_attempts: int
    queue: str
    cron: str | None
    catch_up: CatchUp | None
    retry: RetryPolicy
    file: str
    lane: LaneOf | None = None
    runs: Runs = "loop"
    memory_mb: int | None = None
    slo: Slo | None = None

    async def __call__(self, ctx: Context, args: A) -> R:
        return await self.function(ctx, args)

    @cached_property
    def call(self) -> JobFunction[A, R]:
        """What an attempt awaits: an `async def` on the loop, a `def` in a thread."""
        return self.invoke if is_async(self.function) else self._call_in_thread

    async def _call_in_thread(self, ctx: Context, args: A) -> R:
        return await in_thread(self.invoke, ctx, args)

    @property
    def description(self) -> str:
        return inspect.getdoc(self.function) or ""

    @property
    def door_model(self) -> type[A]:
        """The model that validates incoming args: the args model, made to forbid unknown names.

        A model that sets `extra=` in its config keeps its own rule.
        """
        return strict_about_names(self.args_model)

    @cached_property
    def args_schema(self) -> dict[str, Any]:
        """The JSON Schema of the args."""
        return self.door_model.model_json_schema()

    @property
    def arg_names(self) -> tuple[str, ...]:
        """The names that args may have at the top level."""
        return names_of(self.door_model)

    @cached_property
    def has_secrets(self) -> bool:
        """Whether a field of the args, at any depth, is a `SecretStr`, `SecretBytes` or `Secret`."""
        return has_secrets(self.args_model)

    @cached_property
    def names_files(self) -> bool:
        """Whether a field of the args, at any depth, names a file."""
        return names_files(self.args_model)

    def files_of(self, args: BaseModel) -> tuple[str, ...] | None:
        """Return the ids of the files that args name, each once; None if args of this kind name none."""
        return tuple(dict.fromkeys(one.id for one in files_in(args))) if self.names_files else None

    @cached_property
    def round_trip(self) -> RoundTrip:
        """The trials that args must pass before they are stored."""
        return round_trip_of(self.args_model)

    def accept(self, args: BaseModel | Mapping[str, Any] | None) -> A:
        """Validate args that Python code sends, and return them as an attempt will read them.

        Raises `pydantic.ValidationError`, and `ArgsChanged` when an attempt would read other values than were sent.
        """
        return self._read_back(args if isinstance(args, self.args_model) else self._validated(args))

    def check_keys(self, sent: Any, *, from_json: bool) -> None:
        """Raise `ArgsChanged` if keys of the args sent would become one when read."""
        place = keys_of(self.args_model).clash(sent, from_json=from_json)
        if place is not None:
            msg = "has keys that are the same once they are read, so all but one would be lost"
            raise ArgsChanged({"loc": list(place), "msg": msg, "type": "keys_clash"})

    @property
    def keys_may_clash(self) -> bool:
        """Whether the args have dicts whose keys are converted when they are read."""
        return keys_of(self.args_model).may_clash

    def _validated(self, args: Any) -> A:
        try:
            self.check_keys(args, from_json=False)
            return self.door_model.model_validate({} if args is None else args)
        except (ValidationError, ArgsChanged):
            raise
        except Exception as error:
            msg = f"a validator failed on the args ({type(error).__name__})"
            raise ArgsChanged({"loc": [], "msg": msg, "type": "validator_failed"}) from error

    def dump_args(self, args: BaseModel) -> Written:
        """Write args that came from JSON. Raises `ArgsChanged` when an attempt would read them differently."""
        written = written_by(self.write, args)
        self.check_args(args)
        return written

    def check_args(self, args: BaseModel) -> None:
        """Raise `ArgsChanged` when an attempt would read args that came from JSON differently."""
        if not self.round_trip.holds(args):
            self._read_back(args)

    def _read_back(self, args: BaseModel) -> A:
        return check_whole(args, self.write, self.load_args)

    def write(self, args: BaseModel) -> Written:
        """Write args as JSON, without checking that they are read back unchanged."""
        # As the model reads it back: under the aliases, without computed fields.
        shown = args.model_dump_json(by_alias=True, round_trip=True, warnings=False)
        return Written(shown, dump_whole(args, shown) if self.has_secrets else None)

    def load_args(self, stored: str) -> A:
        """Read args from the ledger. Raises `pydantic.ValidationError` when the model has changed since.

        Drops names that the model does not know, even if it forbids them: during a rollout, newer callers and services
        send them.
        """
        try:
            return self._load(stored)
        except ValidationError as error:
            known = without_unknown_names(from_json(stored), error)
            if known is None:
                raise
        return self._load(to_json(known).decode())

    def reads(self, stored: str) -> bool:
        """Whether stored args are valid for the present kind."""
        try:
            self.load_args(stored)
        except Exception:  # noqa: BLE001 - an author's validators raise what they like
            return False
        return True

    def _load(self, stored: str) -> A:
        return self.args_model.model_validate_json(stored, by_alias=True, by_name=True)

    def lane_of(self, args: A) -> Lane | None:
        """Derive the job's lane from validated args. Raises what the author's function does, and `ValueError`."""
        return to_lane(self.lane(args) if callable(self.lane) else self.lane)

    def dump_result(self, value: R) -> str:
        """Write a result as JSON. Raises `pydantic_core.PydanticSerializationError`."""
        if value is None and self._may_return_nothing:
            return "null"  # the same as below in a tenth of the time: most kinds return nothing
        return self.result_adapter.serializer.to_json(value, warnings="error").decode()

    @cached_property
    def _may_return_nothing(self) -> bool:
        """Whether None is written as null, and not by a serializer of the author's."""
        schema = self.result_adapter.core_schema
        return schema["type"] in ("none", "any") and "serialization" not in schema

    @cached_property
    def expression(self) -> Expression:
        """The cron expression, in UTC. Raises `CronInvalid`."""
        if self.cron is None:
            raise ValueError(f"kind {self.name!r} has no cron expression")
        return expression(self.cron)


class FunctionKind(Kind[Any, Any], Generic[P, T]):
    """A kind whose function has its own parameters, or is a `def`: calling it calls that function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:  # type: ignore[override]
        function: Callable[P, T] = self.function  # type: ignore[assignment]
        return function(*args, **kwargs)
