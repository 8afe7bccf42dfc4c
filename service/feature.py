"""What a feature is: a folder of the product, told to the rest of it by one `Feature` in its `__init__.py`."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import Catalogue
from service.chore import Chore
from service.hooks import Hooks
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueued, NewJob
from service.ledger.records.purged import PurgeOfJobs
from service.ledger.schema import Schema
from service.ledger.sealed import SealedColumn
from service.settings import Settings

if TYPE_CHECKING:
    from click import Group
    from fastapi import APIRouter, Request, Response

# A function, called by the API alone: a worker and `postlude --help` have no use for FastAPI, which is 13 MB.
MakeRouter = Callable[[], "APIRouter"]
# Calls by their method and path. See `service/web/direct.py`.
DirectCalls = Mapping[tuple[str, str], Callable[["Request"], Awaitable["Response"]]]
# A function, called when a command of the feature is used.
MakeCommands = Callable[[], "Group"]
# What kinds ask for, and what fulfils it: `{Counters: LedgerCounters(ledger)}`.
Capabilities = Mapping[type[Any], Any]
# Opens a feature's capabilities when a worker starts, and closes them when it ends.
OpenCapabilities = Callable[[Settings, Ledger], AbstractAsyncContextManager[Capabilities]]


class PurgeByAge(Protocol):
    """Deletes what is older than `older_than`; returns how many of each sort. With `dry_run` it only counts."""

    def __call__(
        self, settings: Settings, ledger: Ledger, older_than: timedelta, *, dry_run: bool
    ) -> Awaitable[Mapping[str, int]]: ...


@dataclass(frozen=True)
class Purge:
    """How `cleanup` deletes what a feature keeps.

    `of_jobs` deletes what belongs to jobs, in the transaction that deletes the jobs.
    `by_age` deletes what has an age of its own.
    """

    of_jobs: PurgeOfJobs | None = None
    by_age: PurgeByAge | None = None


@dataclass(frozen=True)
class ChoreTools:
    """What the chores of a feature work with, in a worker.

    `enqueue` records jobs, all or none, and dispatches them. `leads` says whether this worker leads the sweep. A leader
    may be replaced while it is frozen, so whatever must not happen twice needs a guard all the same.
    """

    settings: Settings
    ledger: Ledger
    catalogue: Catalogue
    check_queue: Callable[[str | None], None]
    enqueue: Callable[[Sequence[NewJob]], Awaitable[Enqueued]]
    leads: Callable[[], bool]


# Opens what a feature's chores need when a worker starts, and closes it when it ends. Raises `StartRefused`.
OpenChores = Callable[[ChoreTools], AbstractAsyncContextManager[Sequence[Chore]]]


@dataclass(frozen=True)
class Gauge:
    """A gauge for Prometheus; `values` are by the value of its one `label`."""

    name: str
    text: str
    label: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Report:
    """How a feature is doing: gauges for /metrics, and for /readyz a sentence about what is wrong, if anything is."""

    gauges: Sequence[Gauge] = ()
    complaint: str | None = None


# Reads the ledger; the datetime is now, by the database's clock.
MakeReport = Callable[[Settings, AsyncConnection, datetime], Awaitable[Report]]


@dataclass(frozen=True)
class Pages:
    """A feature's pages, and how the top bar links to them: `title` leads to `path`, and so do `g` and the `letter`.

    The link is shown to everybody who may open the page; with `for_admins` only to admins. The templates are in the
    feature's folder `templates`.
    """

    router: MakeRouter
    title: str
    path: str
    letter: str | None = None
    for_admins: bool = False


@dataclass(frozen=True)
class DevServer:
    """A server that `postlude dev` runs beside the API and a worker.

    `is_wanted` says whether it is of use with these settings. `check` raises `StartRefused` if it cannot run.
    `run` serves until a signal. `banner` returns the line about it for the terminal, given the API's URL.
    """

    name: str
    is_wanted: Callable[[Settings], bool]
    check: Callable[[], None]
    run: Callable[[Settings], Awaitable[None]]
    banner: Callable[[Settings, str], str]


@dataclass(frozen=True)
class Feature:
    """A feature; everything but its name is optional.

    `tables`: its own tables. `postlude migrate` creates the missing ones.
    `sealed`: which of their columns hold secrets.
    `migrations`: the folder of the Alembic revisions that change `tables` after their first version.
    `router`: its calls, below /v1.
    `direct`: a function that returns the calls that are answered past the routes, as the routes would.
    `pages`: its pages.
    `purge`: how `cleanup` deletes its rows and files.
    `capability`: opens what its kinds get from `ctx.capability(...)`, for as long as a worker lives.
    `chores`: what each worker does for it again and again, beside its jobs.
    `report`: how it is doing, for /metrics and /readyz.
    `hooks`: hooks around requests, enqueues and attempts.
    `dev`: a server for development.
    `commands`: the commands that it adds to `postlude`; `service/cli.py` has their name and a line of help.
    """

    name: str
    tables: Sequence[Table] = ()
    sealed: Sequence[SealedColumn] = ()
    migrations: Path | None = None
    router: MakeRouter | None = None
    direct: Callable[[], DirectCalls] | None = None
    pages: Pages | None = None
    purge: Purge = Purge()
    capability: OpenCapabilities | None = None
    chores: OpenChores | None = None
    report: MakeReport | None = None
    hooks: Hooks = field(default_factory=Hooks)
    dev: DevServer | None = None
    commands: MakeCommands | None = None

    @property
    def schema(self) -> Schema:
        """What `postlude migrate` needs to know."""
        return Schema(self.name, self.tables, self.migrations)


def belongings_of(features: Iterable[Feature]) -> list[PurgeOfJobs]:
    """Return the functions that delete what features keep of jobs, for `Ledger.open`."""
    return [feature.purge.of_jobs for feature in features if feature.purge.of_jobs is not None]
