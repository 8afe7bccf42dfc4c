"""Changing jobs that have not started: the fields of a request become values of the job's row."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from pydantic import BaseModel

from jobs import Catalogue, Kind, Lane
from service import agreed_time
from service.errors import Conflict, JobNotFound, StateForbids, located
from service.ledger.changes import Changed, ChangeResult
from service.ledger.ledger import Ledger
from service.ledger.reads import jobs as queries
from service.ledger.records.changed import Change, Values
from service.lifecycle.args import written_args
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.kinds import known_kind
from service.lifecycle.lanes import kind_lane
from service.options import metadata_json

# Somebody else may meanwhile change the args from which a lane was derived.
_TRIES = 5


class Wanted(TypedDict, total=False):
    """The new values of a job; whatever is left out stays as it is. None stands for a new job's default."""

    run_at: datetime | None
    priority: int | None
    args: BaseModel
    queue: str | None
    lane: Lane | None
    max_attempts: int | None
    timeout: timedelta | None
    tags: tuple[str, ...] | None
    metadata: Mapping[str, Any] | None


def needs_args(wanted: Wanted, kind: Kind[Any, Any] | None) -> bool:
    """Whether a change to a job of this kind depends on the stored args."""
    return "lane" in wanted and "args" not in wanted and kind is not None and kind.lane is not None


def change_of(
    job_id: str,
    kind_name: str,
    wanted: Wanted,
    now: datetime,
    *,
    catalogue: Catalogue,
    stored: queries.StoredArgs | None = None,
) -> Change:
    """Make the change of a job. `stored` are its args as attempts read them, if `needs_args`.

    Raises `KindUnknown` if the change needs the kind, `ArgsInvalid` and `SecretUnreadable`.
    """
    values = _plain(kind_name, wanted, now, catalogue)
    kind = catalogue.get(kind_name)
    if "args" in wanted:
        values |= _args(known_kind(catalogue, kind_name), wanted["args"])
    elif stored is not None and kind is not None and needs_args(wanted, kind) and kind.reads(stored.whole):
        values["kind_lane"] = kind_lane(kind, kind.load_args(stored.whole))
    if "lane" in wanted:
        values["lane"] = wanted["lane"]
    files = kind.files_of(wanted["args"]) if kind is not None and "args" in wanted else None
    return Change(job_id, now, values, of_args=None if stored is None else stored.kept, files=files)


def _plain(kind_name: str, wanted: Wanted, now: datetime, catalogue: Catalogue) -> Values:
    """Return the values that do not depend on the args."""
    values: Values = {}
    if "run_at" in wanted:
        values["run_at"] = wanted["run_at"] or now
    if "priority" in wanted:
        values["priority"] = wanted["priority"] or 0
    if "queue" in wanted:
        values["queue"] = wanted["queue"] or known_kind(catalogue, kind_name).queue
    if "max_attempts" in wanted:
        values["max_attempts"] = wanted["max_attempts"] or known_kind(catalogue, kind_name).max_attempts
    if "timeout" in wanted:
        values["timeout_s"] = None if wanted["timeout"] is None else wanted["timeout"].total_seconds()
    if "tags" in wanted:
        values["tags"] = wanted["tags"] or ()
    if "metadata" in wanted:
        values["metadata"] = metadata_json(wanted["metadata"]) if wanted["metadata"] else None
    return values


def _args(kind: Kind[Any, Any], args: BaseModel) -> Values:
    with located("args"):
        visible, sealed = written_args(kind, args)
        values: Values = {"args": visible, "sealed_args": sealed}
        if kind.lane is not None:
            values["kind_lane"] = kind_lane(kind, args)
    return values


class Changer:
    """Changes jobs in the ledger, then moves them on the queue."""

    def __init__(
        self, ledger: Ledger, dispatcher: Dispatcher, catalogue: Catalogue, check_queue: Callable[[str], None]
    ) -> None:
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._catalogue = catalogue
        self._check_queue = check_queue

    async def change(self, job_id: str, kind_name: str, wanted: Wanted) -> None:
        """Change a job that has not started.

        Raises `JobNotFound`, `StateForbids`, `KindUnknown`, `QueueUnknown` and `ArgsInvalid`.
        """
        if (queue := wanted.get("queue")) is not None:
            with located("queue"):
                self._check_queue(queue)
        changed = await self._change(job_id, kind_name, wanted)
        if changed.result is not ChangeResult.YES:
            raise refusal_of(job_id, changed, "changed")
        await self._dispatcher.move([changed])

    async def _change(self, job_id: str, kind_name: str, wanted: Wanted) -> Changed:
        for _ in range(_TRIES):
            stored = None
            if needs_args(wanted, self._catalogue.get(kind_name)):
                async with self._ledger.read() as connection:
                    stored = (await queries.stored_args(connection, [job_id])).get(job_id)
            # In a thread: large args take long to compare with what an attempt will read.
            change = await asyncio.to_thread(
                change_of, job_id, kind_name, wanted, agreed_time.now(), catalogue=self._catalogue, stored=stored
            )
            [changed] = await self._ledger.change([change])
            if changed.result is not ChangeResult.ARGS_CHANGED:
                return changed
        raise Conflict("Others keep changing this job's args. Send the request again.")

    async def run_now(self, job_id: str) -> None:
        """Make a job due at once.

        Raises `JobNotFound`, and `StateForbids` for one that is blocked, runs or has ended.
        """
        changed = await self._ledger.advance(job_id, agreed_time.now())
        if changed.result not in (ChangeResult.YES, ChangeResult.DUE_ALREADY):
            raise refusal_of(job_id, changed, "run now")
        await self._dispatcher.move([changed])


def refusal_of(job_id: str, changed: Changed, verb: str) -> JobNotFound | StateForbids:
    """Make the error for a change that was refused."""
    if changed.state is None:
        return JobNotFound(f"There is no job {job_id!r}. It may be past its retention.")
    return StateForbids(f"The job is {changed.state}: it cannot be {verb}.")
