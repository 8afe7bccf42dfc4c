"""A target that is a kind: each batch of rows becomes a job."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from jobs.csv.columns import Column
from jobs.csv.records import BadRow
from jobs.csv.targets import Batch, Import, ImportTaken, Standing, TargetRefused, Tried
from service import agreed_time
from service.errors import ArgsInvalid, KindUnknown, QueueUnknown, Refused
from service.import_targets import KindSettings
from service.imports.place import Place
from service.imports.position import moved
from service.imports.records import record_moved
from service.imports.table.target import noted_bad_rows

_LONGEST_REASON = 500


class KindTarget:
    """See `jobs.csv.targets.Target`.

    A batch is planned in the ledger before its job is enqueued. An attempt that finds a plan takes as many records as
    it says, whatever its own batch size is: the resulting job has the same id as before, so it exists only once.
    """

    columns: Sequence[Column] | None = None

    def __init__(self, place: Place, settings: KindSettings, wanted: Import) -> None:
        self._place = place
        self._import = wanted
        self._kind = settings.kind
        self.batch_size = settings.batch

    async def take_over(self) -> Standing | None:
        return await self._place.take_over(self._import)

    async def begin(self, form: str) -> Standing:
        return await self._place.begin(self._import, form)

    async def write(self, batch: Batch, standing: Standing) -> Standing:
        if standing.planned and batch.count != standing.planned:
            raise ImportTaken(f"The planned batch has {standing.planned} records, but this one has {batch.count}.")
        if not standing.planned:
            standing = await self._move(standing, replace(standing, planned=batch.count))
        rows, bad = rows_of(batch), list(batch.bad)
        for begin, end, refused in await self._hand_over(batch, rows, 0, len(rows)):
            bad += [BadRow(batch.lines[place], refused, batch.cells[place]) for place in range(begin, end)]
        bad.sort(key=lambda row: row.line)
        inserted = batch.count - len(bad)
        new = moved(standing, batch.count, inserted=inserted, updated=0, skipped=0, failed=len(bad))
        return await self._move(standing, new, bad)

    async def rehearse(self, batch: Batch) -> Tried:
        return Tried(inserted=len(batch.lines), bad=list(batch.bad))

    def bad_rows(self) -> AsyncIterator[BadRow]:
        return noted_bad_rows(self._place, self._import.job_id)

    async def _hand_over(
        self, batch: Batch, rows: Sequence[Mapping[str, Any]], begin: int, end: int
    ) -> list[tuple[int, int, str]]:
        """Enqueue jobs with rows, halving them where the kind refuses some. Return what it refuses, and why."""
        if begin == end:
            return []
        args = {"rows": rows[begin:end], "first": batch.first + begin + 1, "file": self._import.file}
        try:
            await self._import.enqueue(self._kind, args, id=job_id_for(self._import.job_id, batch.first + begin))
        except ArgsInvalid as error:
            if begin + 1 == end:
                return [(begin, end, str(error)[:_LONGEST_REASON])]
            half = (begin + end) // 2
            return [
                *await self._hand_over(batch, rows, begin, half),
                *await self._hand_over(batch, rows, half, end),
            ]
        except (KindUnknown, QueueUnknown, Refused) as error:
            raise TargetRefused(f"The target's kind {self._kind} takes no jobs: {error}") from error
        return []

    async def _move(self, standing: Standing, new: Standing, bad: Sequence[BadRow] = ()) -> Standing:
        wanted, now = self._import, agreed_time.now()
        return await self._place.write(
            partial(
                record_moved,
                job_id=wanted.job_id,
                attempt=wanted.attempt,
                standing=standing,
                new=new,
                now=now,
                bad=bad,
            )
        )


def job_id_for(import_id: str, first: int) -> str:
    """Return the id of the job that gets the rows from `first` on: a UUIDv7, the same each time."""
    digest = hashlib.sha256(f"{import_id} {first}".encode()).digest()
    try:
        time = UUID(import_id).bytes[:6]
    except ValueError:  # a plain arq client's job may have any id
        time = bytes(6)
    made = bytearray(time + digest[:10])
    made[6] = 0x70 | made[6] & 0x0F
    made[8] = 0x80 | made[8] & 0x3F
    return str(UUID(bytes=bytes(made)))


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    """Return rows as JSON objects, keyed by column name."""
    names = [column.name for column in batch.columns]
    reads = [json.loads if column.type == "json" else _plain for column in batch.columns]
    columns = [
        [None if value is None else read(value) for value in values]
        for read, values in zip(reads, batch.values, strict=True)
    ]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
