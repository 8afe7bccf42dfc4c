"""Rotation of keys: every secret is sealed with the first key, batch after batch, while everything else goes on."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from service.ledger.database import Database
from service.ledger.reads.sealed_rows import rows_with_secrets
from service.ledger.records.resealed import Resealed, record_resealed
from service.ledger.sealed import SealedColumn

# Large secrets may have 256 KiB each.
_AT_ONCE = 50


class Progress(NamedTuple):
    """The progress of one column's rotation. `looked_at` counts rows with a secret."""

    of: SealedColumn
    looked_at: int
    resealed: Resealed


async def count_by_key(database: Database, of: SealedColumn) -> Counter[str | None]:
    """Return how many secrets each key has sealed; None counts secrets in clear."""
    counts = Counter[str | None]()
    async for rows in rows_with_secrets(database, of):
        counts.update(row.key_id for row in rows)
    return counts


async def rotate(database: Database, of: SealedColumn) -> AsyncIterator[Progress]:
    """Seal again the secrets that another key, or none, has sealed; yield the progress after each page.

    It may be stopped or killed at any moment. Started again, it skips what is done.
    """
    looked_at, done, unreadable = 0, 0, 0
    async for rows in rows_with_secrets(database, of):
        outdated = list(dict.fromkeys(row.key[0] for row in rows if row.key_id != database.vault.key_id))
        for names in _batches(outdated):
            resealed = await database.run(partial(record_resealed, of=of, names=names))
            done, unreadable = done + resealed.done, unreadable + resealed.unreadable
        looked_at += len(rows)
        yield Progress(of, looked_at, Resealed(done, unreadable))


def _batches(names: Sequence[Any]) -> list[Sequence[Any]]:
    return [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]
