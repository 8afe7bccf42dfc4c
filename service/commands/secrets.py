"""`postlude secrets`: which keys have sealed the stored secrets, and the rotation of keys."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from service.command_line import operator_on
from service.words import counted

if TYPE_CHECKING:
    from service.ledger.database import Database
    from service.ledger.sealed import SealedColumn


@click.group()
def secrets() -> None:
    """Secrets at rest, sealed by the keys of POSTLUDE_SECRET_KEYS. New ones are sealed by the first key."""


@secrets.command()
def status() -> None:
    """Count the stored secrets by the key that sealed them.

    Reads everything that may hold secrets; the service may keep running. Exit code 0: the first key has sealed all. 1:
    it has not, or a key is missing.
    """
    sys.exit(asyncio.run(_status()))


@secrets.command()
def rotate() -> None:
    """Seal every secret with the first key of POSTLUDE_SECRET_KEYS, even secrets kept in clear so far.

    Works in small batches while the service runs. It may be stopped at any moment, and started again. Exit code 0:
    the first key has sealed all, so the others can be removed from the setting. 1: something is left.
    """
    sys.exit(asyncio.run(_rotate()))


async def _status() -> int:
    async with _open() as (database, columns):
        counts = await _counted(database, columns)
    return _told(counts, database.vault.key_ids)


async def _rotate() -> int:
    from service.ledger.rotation import rotate

    async with _open() as (database, columns):
        if database.vault.key_id is None:
            raise click.ClickException("POSTLUDE_SECRET_KEYS has no key to seal with.")
        async with operator_on(database).action("rotate", "secrets", database.vault.key_id):
            for of in columns:
                async for progress in rotate(database, of):
                    done, unreadable = progress.resealed
                    left = f", {unreadable:,} not readable" if unreadable else ""
                    click.echo(f"{of}: {progress.looked_at:,} secrets checked, {done:,} resealed{left}")
        counts = await _counted(database, columns)  # others may have written meanwhile, with the former keys
    return _told(counts, database.vault.key_ids)


@asynccontextmanager
async def _open() -> AsyncIterator[tuple["Database", Sequence["SealedColumn"]]]:
    from service import logs
    from service.features import FEATURES
    from service.ledger.database import Database
    from service.ledger.sealed import OF_THE_LEDGER
    from service.ledger_place import refuse_missing_ledger
    from service.settings import Settings
    from service.vault import Vault

    settings = Settings()
    refuse_missing_ledger(settings)
    logs.configure("WARNING", "console")
    database = Database.open(settings.sqlalchemy_url, vault=Vault(settings.secret_keys))
    try:
        await database.check()
        yield database, [*OF_THE_LEDGER, *(of for feature in FEATURES for of in feature.sealed)]
    finally:
        await database.close()


async def _counted(database: "Database", columns: Sequence["SealedColumn"]) -> Counter[str | None]:
    from service.ledger.rotation import count_by_key

    counts = Counter[str | None]()
    for of in columns:
        counts.update(await count_by_key(database, of))
    return counts


def _told(counts: Counter[str | None], key_ids: Sequence[str]) -> int:
    """Print how many secrets each key has sealed; return the exit code."""
    for number, key_id in enumerate(key_ids):
        role = "seals" if number == 0 else "still needed" if counts[key_id] else "no longer needed"
        click.echo(f"{key_id}: {counted(counts[key_id], 'secret')} ({role})")
    missing = {key_id: count for key_id, count in counts.items() if key_id is not None and key_id not in key_ids}
    for key_id, count in sorted(missing.items()):
        click.echo(
            f"{key_id}: {counted(count, 'secret')} (MISSING: nothing can read them until this key is in the setting)"
        )
    click.echo(f"in clear: {counted(counts[None], 'secret')}")
    current = key_ids[0] if key_ids else None
    return 0 if counts.total() == counts[current] else 1
