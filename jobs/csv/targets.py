"""What `import_csv` needs of the service: where rows go."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from jobs.csv.columns import Column
from jobs.csv.records import BadRow
from jobs.kit.context import Enqueue
from jobs.kit.outcomes import Discard


class TargetUnknown(Discard):
    """No target has this name."""


class TargetRefused(Discard):
    """The target refuses what it is given, and always will."""


class ImportTaken(Discard):
    """Another attempt of this job has continued the import: this one must write nothing more."""


@dataclass(frozen=True, slots=True)
class Import:
    """Whose import it is, and what to do with rows whose `key` already exists."""

    job_id: str
    attempt: int
    target: str
    on_conflict: Literal["insert", "skip", "update"]
    key: Sequence[str]
    file: str
    enqueue: Enqueue


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an import is: `rows` records of the file are done, `form` is what the first attempt recorded about it.

    `planned` is the number of records in the batch that was on its way when an attempt died, if any.
    """

    form: str = ""
    rows: int = 0
    inserted: int = 0
    updated: int = 0
    skipped: int = 0
    failed: int = 0
    planned: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows by their columns: `values` has as many lists as `columns`, each with a value for each of `lines`.

    `cells` are the rows as in the file. `bad` are rows that are wrong in the file itself. `count` is how many
    records that is in all. `first` is the number of the first one, from 0.
    """

    columns: Sequence[Column]
    values: Sequence[Sequence[Any]]
    lines: Sequence[int]
    cells: Sequence[list[str]]
    bad: Sequence[BadRow]
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What a target would do with a batch."""

    inserted: int = 0
    updated: int = 0
    skipped: int = 0
    bad: list[BadRow] = field(default_factory=list)


class Target(Protocol):
    """Where the rows of one import go."""

    @property
    def columns(self) -> Sequence[Column] | None:
        """The existing columns; None: any that the file has."""
        ...

    @property
    def batch_size(self) -> int | None:
        """How many rows it takes at a time, if its operator has set that."""
        ...

    async def take_over(self) -> Standing | None:
        """Return how far earlier attempts got, and keep them from writing any more; None: there was none."""
        ...

    async def begin(self, form: str) -> Standing:
        """Record that the import begins."""
        ...

    async def write(self, batch: Batch, standing: Standing) -> Standing:
        """Take a batch, its bad rows and the new position, all or nothing. Raises `ImportTaken`, `TargetRefused`."""
        ...

    async def rehearse(self, batch: Batch) -> Tried:
        """Do the same, but leave nothing behind."""
        ...

    def bad_rows(self) -> AsyncIterator[BadRow]:
        """Return all bad rows so far, in the order of their lines."""
        ...


class ImportTargets(Protocol):
    """The targets of the settings."""

    async def open(self, wanted: Import) -> Target:
        """Return a target for an import. Raises `TargetUnknown` and `TargetRefused`."""
        ...
