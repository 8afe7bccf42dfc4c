"""`postlude audit-log`: verify, export, head and prune, on the ledger itself."""

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import click

from service.audit_log.chain import Keys
from service.audit_log.exporting import export
from service.audit_log.pruning import prune_before
from service.audit_log.reads import Ends, pages, read_ends
from service.audit_log.verifying import Verifier
from service.command_line import on_the_ledger, operator_on
from service.errors import LedgerUnavailable, StartRefused
from service.ledger.database import Database
from service.settings import Settings
from service.words import counted


@click.group()
def commands() -> None:
    """The audit log: the entries written by jobs of the kind write_audit.

    What operators did is not in it, but on the page "Audit" (GET /v1/audit). `postlude audit` looks for lost jobs.

    Works on the ledger's database (POSTLUDE_DATABASE_URL), whether or not the service runs.
    """


_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{64})", re.ASCII)


def _read_heads(_context: click.Context, _parameter: click.Parameter, heads: tuple[str, ...]) -> dict[int, str]:
    """Read heads as `postlude audit-log head` prints them."""
    noted: dict[int, str] = {}
    for head in heads:
        found = _HEAD.fullmatch(head)
        if found is None:
            raise click.BadParameter(f"{head!r} is not a head as `postlude audit-log head` prints it.")
        if noted.setdefault(int(found[1]), found[2]) != found[2]:
            raise click.BadParameter(f"Two heads have the number {found[1]}.")
    return noted


@commands.command()
@click.option(
    *("--head", "noted"),
    metavar="SEQ:HASH",
    callback=_read_heads,
    multiple=True,
    help="One that you noted elsewhere. Repeat it for several.",
)
def verify(noted: dict[int, str]) -> None:
    """Check that no entry was changed, moved, added or removed.

    Reads the whole log and changes nothing; the service may keep running. Exit code 0: it is whole. 1: it is not, and
    what is wrong is printed. 2: there is no ledger, or its database does not answer.

    Anyone who can write to the database can cut off the end of the log and, if POSTLUDE_AUDIT_LOG_KEYS is not set,
    forge the whole log. A --head that was noted elsewhere reveals both.
    """
    keys = Keys(Settings().audit_log_keys)
    try:
        verifier, ends = on_the_ledger(lambda database: check_all(database, keys, noted))
    except (LedgerUnavailable, StartRefused) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    for finding in verifier.findings:
        click.echo(finding)
    if verifier.wrong > len(verifier.findings):
        click.echo(f"and {verifier.wrong - len(verifier.findings):,} more")
    for seq in verifier.not_checked:
        click.echo(f"head {seq} lies before what is pruned: not checked")
    verdict = f"{counted(verifier.wrong, 'thing is', 'things are')} wrong" if verifier.wrong else "the log is whole"
    click.echo(f"{counted(verifier.checked, 'entry', 'entries')} checked: {verdict}; head {_shown(ends)}")
    sys.exit(1 if verifier.wrong else 0)


async def check_all(database: Database, keys: Keys, noted: Mapping[int, str]) -> tuple[Verifier, Ends]:
    """Check all entries; check again if some were pruned meanwhile, because these seem to be missing."""
    while True:
        ends = await _read_ends(database)
        verifier = await _check_through(database, Verifier(keys, noted), ends)
        if not verifier.wrong or (await _read_ends(database)).oldest == ends.oldest:
            return verifier, ends


async def _check_through(database: Database, verifier: Verifier, ends: Ends) -> Verifier:
    length = 0 if ends.oldest is None or ends.newest is None else ends.newest - ends.oldest + 1
    with click.progressbar(length=length, label="Checking", file=sys.stderr) as bar:
        async for page in pages(database, through=ends.newest):
            for entry in page:
                verifier.take(entry)
            bar.update(len(page))
    verifier.end(ends)
    return verifier


@commands.command("export")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only entries with a greater number.")
def export_entries(after: int) -> None:
    """Print all entries in order, each as a line of JSON."""

    async def print_all(database: Database) -> None:
        async for page in export(database, after=after):
            sys.stdout.write(page)

    on_the_ledger(print_all)


@commands.command()
def head() -> None:
    """Print the number and the hash of the latest entry: note them elsewhere, for `verify --head`."""
    click.echo(_shown(on_the_ledger(_read_ends)))


async def _read_ends(database: Database) -> Ends:
    async with database.connect() as connection:
        return await read_ends(connection)


def _shown(ends: Ends) -> str:
    return ends.head or "gone"


@commands.command()
@click.option("--before", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z"]), required=True, help="In UTC.")
def prune(before: datetime) -> None:
    """Delete the entries recorded before this time: the only way to shorten the log.

    The log records this, so that the rest can still be checked. Export and verify first: nothing brings them back. It
    may be stopped at any moment, and started again.
    """
    since = before if before.tzinfo is not None else before.replace(tzinfo=UTC)

    async def pruned(database: Database) -> int:
        operator = operator_on(database)
        async with operator.action("prune", "audit_log", since.isoformat()):
            return await prune_before(database, since, operator.principal.name, Keys(Settings().audit_log_keys))

    click.echo(f"{counted(on_the_ledger(pruned), 'entry', 'entries')} deleted")
