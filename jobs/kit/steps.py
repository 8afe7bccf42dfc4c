"""What a job keeps for its later attempts: results of steps, and a checkpoint."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from jobs.kit.kept_json import JsonTooLarge, kept_json
from jobs.kit.results import Parent, Results
from jobs.kit.step_errors import StepRefused, StepRepeated, StepTooLarge, StepUnwritable, TooManySteps
from jobs.kit.step_form import MOST_BYTES, StepForm

LONGEST_NAME = 100
MOST_STEPS = 1_000
# All are read before each attempt, and shown with the job.
MOST_BYTES_IN_ALL = 8 * 1024 * 1024


class Given(NamedTuple):
    """What an attempt starts with: kept results of steps and the checkpoint, as JSON, and the jobs it came after."""

    steps: Mapping[str, str] = {}
    checkpoint: str | None = None
    parents: tuple[Parent, ...] = ()


class KeptStep(NamedTuple):
    name: str
    result: str
    started_at: datetime
    finished_at: datetime


NOTHING = Given()


class Steps:
    """The steps of one attempt. This class forgets them with it, which is what a test of a kind needs."""

    __slots__ = ("_given", "_results", "_room")

    def __init__(self, given: Given = NOTHING) -> None:
        self._given = given
        self._room: _Room | None = None
        self._results: Results | None = None

    @property
    def results(self) -> Results:
        if self._results is None:
            self._results = Results(self._given.parents)
        return self._results

    @property
    def restored(self) -> Any:
        return None if self._given.checkpoint is None else from_json(self._given.checkpoint)

    async def step(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Run a function and keep its result, or return the kept result. Raises `StepRefused`."""
        with self._begun(name, function) as form:
            if (kept := self._given.steps.get(name)) is not None:
                return form.read(kept)
            started_at = self._now()
            return await self._keep_result(form, started_at, await _call(function, args, kwargs))

    def step_in_thread(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        run_on_loop: Callable[[Coroutine[Any, Any, Any]], Any],
    ) -> Any:
        """Do the same in the thread of a kind, where a `def` runs as well. Raises `StepRefused`."""
        with self._begun(name, function) as form:
            if (kept := self._given.steps.get(name)) is not None:
                return form.read(kept)
            started_at = self._now()
            if inspect.iscoroutinefunction(function):
                result = run_on_loop(function(*args, **kwargs))
            else:
                result = function(*args, **kwargs)
            return run_on_loop(self._keep_result(form, started_at, result))

    @contextmanager
    def _begun(self, name: str, function: Callable[..., Any]) -> Iterator[StepForm]:
        """Take the name of a step while it runs, and for good once it has succeeded."""
        _check(name, function)
        if self._room is None:
            self._room = _Room(self._given.steps)
        self._room.take(name)
        try:
            yield StepForm.of(name, function)
        except BaseException:
            self._room.give_back(name)
            raise

    async def _keep_result(self, form: StepForm, started_at: datetime, result: Any) -> Any:
        """Keep what a step returned, and return it as later attempts will read it."""
        written = form.write(await result if inspect.isawaitable(result) else result)  # a lambda around a coroutine
        value = form.read(written)  # what cannot be read back must not be kept
        assert self._room is not None
        self._room.fill(form.name, len(written.encode()))
        await self.keep(KeptStep(form.name, written, started_at, self._now()))
        return value

    async def checkpoint(self, value: Any) -> None:
        """Keep a value, in place of the last one. Raises `StepRefused`."""
        try:
            text = kept_json(to_json(value).decode(), MOST_BYTES)
        except JsonTooLarge as error:
            raise StepTooLarge(f"the checkpoint cannot be kept: {error}; keep only where to continue") from None
        except Exception as error:
            raise StepUnwritable(f"the checkpoint cannot be written as JSON: {error}") from error
        await self.keep_checkpoint(text)

    async def keep(self, step: KeptStep) -> None:
        """Keep the result of a step that has run."""

    async def keep_checkpoint(self, value: str) -> None:
        """Keep a checkpoint, written as JSON."""

    def _now(self) -> datetime:
        return datetime.now(UTC)


class _Room:
    """Which steps an attempt has begun, and how much more the job may keep."""

    def __init__(self, kept: Mapping[str, str]) -> None:
        self._kept = kept
        self._begun: set[str] = set()
        self._count = len(kept)
        self._bytes = sum(len(result.encode()) for result in kept.values())

    def take(self, name: str) -> None:
        if name in self._begun:
            raise StepRepeated(f"step {name!r} was already started in this attempt; give each step its own name")
        if name not in self._kept:
            if self._count >= MOST_STEPS:
                raise TooManySteps(f"a job may have {MOST_STEPS} steps; a loop keeps its place with ctx.checkpoint")
            self._count += 1
        self._begun.add(name)

    def give_back(self, name: str) -> None:
        """Let a step that failed be tried again."""
        self._begun.discard(name)
        self._count -= name not in self._kept

    def fill(self, name: str, size: int) -> None:
        if self._bytes + size > MOST_BYTES_IN_ALL:
            raise TooManySteps(
                f"step {name!r}: all results of a job's steps may have {MOST_BYTES_IN_ALL} bytes; store them elsewhere,"
                " and return their names"
            )
        self._bytes += size


def _check(name: Any, function: Any) -> None:
    if not isinstance(name, str) or not name or "\0" in name:
        raise StepRefused(f"a step's name is a text without NUL, not {name!r}")
    if len(name) > LONGEST_NAME:
        raise StepTooLarge(f"a step's name may have at most {LONGEST_NAME} characters, but this one has {len(name)}")
    if not callable(function):
        if inspect.iscoroutine(function):
            function.close()
        raise StepRefused(f"step {name!r}: pass its function and the args separately, as in ctx.step(name, fetch, url)")


async def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
