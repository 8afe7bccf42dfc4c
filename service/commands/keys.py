"""`postlude keys`: create, list, revoke and rotate, on the ledger itself, so that the first key can be made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from service.command_line import on_the_ledger, operator_on
from service.commands import text
from service.commands.key_notes import Doors, notes_on_made, notes_on_none, notes_on_revoked, read_doors

if TYPE_CHECKING:
    from service.access.keys import Keys, Made
    from service.access.reads import Key
    from service.ledger.database import Database

_SCOPES = ("enqueue", "read", "operate", "admin")
_COLUMNS = ("ID", "NAME", "SCOPES", "LIMITS", "STATE", "LAST USED")
_ID = click.argument("key_id", metavar="ID")


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke API keys.

    Works on the ledger's database (POSTLUDE_DATABASE_URL), whether or not the API runs. From the first key on, the API
    requires one from everybody.
    """


@keys.command()
@click.argument("name")
@click.option("--scope", "scopes", type=click.Choice(_SCOPES), multiple=True, required=True, help="May be repeated.")
@click.option("--kind", "kinds", multiple=True, help="Only jobs of this kind; a name, or a prefix and *.")
@click.option("--queue", "queues", multiple=True, help="Only jobs on this queue.")
@click.option("--hide-args", is_flag=True, help="Hide args, results and log lines.")
@click.option("--expires-in-days", type=click.FloatRange(min=0, min_open=True, max=3650))
def create(
    name: str,
    scopes: tuple[str, ...],
    kinds: tuple[str, ...],
    queues: tuple[str, ...],
    hide_args: bool,
    expires_in_days: float | None,
) -> None:
    """Make a key and print it. Only its hash is kept, so nobody can print it again.

    `operate` includes `read`, `admin` includes all.
    """
    from service.access.principal import Scope

    if "admin" in scopes and (kinds or queues):
        raise click.UsageError("A key with the scope admin cannot be limited: it can make other keys.")

    async def make(database: Database) -> tuple[Made, list[str]]:
        before = await read_doors(database)
        async with operator_on(database).action("create", "key", name=name) as entry:
            made = await _keys(database).create(
                name,
                [Scope(scope) for scope in dict.fromkeys(scopes)],
                kinds=kinds or None,
                queues=queues or None,
                sees_args=not hide_args,
                expires_in=None if expires_in_days is None else timedelta(days=expires_in_days),
            )
            entry.target, entry.after = made.key.id, {"name": name, "scopes": scopes}
        return made, [*notes_on_made(before, await read_doors(database), made.key.principal)]

    made, notes = on_the_ledger(make)
    _tell(made)
    _note(notes)


@keys.command("list")
@click.option("--revoked", is_flag=True, help="Include revoked keys.")
def list_keys(revoked: bool) -> None:
    """List keys, newest first."""
    from service import agreed_time

    async def read(database: Database) -> tuple[list[Key], Doors]:
        found: list[Key] = []
        after = None
        while page := await _keys(database).list(500, after):
            found += page
            after = (page[-1].created_at, page[-1].id)
        return found, await read_doors(database)

    now = agreed_time.now()
    found, doors = on_the_ledger(read)
    shown = [_row(key, now) for key in found if revoked or key.is_live(now)]
    if not shown:
        _note(notes_on_none(doors, are_some_ended=bool(found)))
    for line in text.aligned(_COLUMNS, shown, heading=bool(shown), width=None):
        click.echo(line)


@keys.command()
@_ID
@click.option("--grace-s", type=click.IntRange(min=0), default=3600, show_default=True, help="How long the old works.")
def rotate(key_id: str, grace_s: int) -> None:
    """Give a key a new secret and print it. Jobs that it sent stay its own."""

    async def turn(database: Database) -> Made:
        await _keys(database).find(key_id)
        async with operator_on(database).action("rotate", "key", key_id):
            return await _keys(database).rotate(key_id, timedelta(seconds=grace_s))

    _tell(on_the_ledger(turn))


@keys.command()
@_ID
def revoke(key_id: str) -> None:
    """Revoke a key: within two seconds it opens nothing."""

    async def end(database: Database) -> tuple[Key, list[str]]:
        await _keys(database).find(key_id)
        before = await read_doors(database)
        async with operator_on(database).action("revoke", "key", key_id):
            key = await _keys(database).revoke(key_id)
        return key, [*notes_on_revoked(before, await read_doors(database))]

    key, notes = on_the_ledger(end)
    click.echo(f"{text.one_line(key.name)}: revoked")
    _note(notes)


def _keys(database: Database) -> Keys:
    from service.access.keys import Keys

    return Keys(database)


def _tell(made: Made) -> None:
    click.echo(made.text)
    click.echo(f"{made.key.id} ({made.key.principal.name}): save the key now, it is shown only once", err=True)


def _note(notes: Iterable[str]) -> None:
    for note in notes:
        click.echo(note, err=True)


def _row(key: Key, now: datetime) -> tuple[str, ...]:
    who = key.principal
    if key.revoked_at is not None:
        state = "revoked"
    elif not key.is_live(now):
        state = "expired"
    else:
        state = f"valid until {key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "valid"
    used = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
    limits = ",".join([*(who.kinds or ()), *(f"queue:{one}" for one in who.queues or ())])
    cells = (key.id, key.name, ",".join(sorted(who.scopes)), limits or "none", state, used)
    return tuple(map(text.one_line, cells))
