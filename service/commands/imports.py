"""`postlude imports`: where CSV files may go, and what your own database needs for it."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from service.commands.outbox import creation

if TYPE_CHECKING:
    from service.feature import Feature
    from service.settings import Settings


@click.group()
def imports() -> None:
    """Imports: CSV files that go into tables, or become jobs."""


@imports.command()
@click.option("--dialect", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True)
def ddl(dialect: str) -> None:
    """Print the SQL for the tables in your own database that record how far imports are.

    The ledger's own database has these tables: `postlude migrate` makes them. Elsewhere the first import makes them, if
    its user may.
    """
    for table in _feature().tables:
        for statement in creation(table, dialect):
            click.echo(f"{statement};")


@imports.command()
def targets() -> None:
    """Show the targets of POSTLUDE_IMPORT_TARGETS, and check that they exist. Exit code 1: one does not."""
    from service.settings import Settings

    told = asyncio.run(_tried(Settings()))
    for name, what, problem in told:
        click.echo(f"{name}: {problem or what}")
    if not told:
        click.echo("There are no targets. Set POSTLUDE_IMPORT_TARGETS.")
    sys.exit(any(problem for *_, problem in told))


def _feature() -> Feature:
    from service.features import FEATURES

    return next(feature for feature in FEATURES if feature.name == "imports")


async def _tried(settings: Settings) -> list[tuple[str, str, str]]:
    """Open each target; return its name, what it takes, and why it cannot be used, if so."""
    from jobs.csv.targets import Import, ImportTargets
    from jobs.kit.outcomes import Discard, Retry
    from service.import_targets import KindSettings
    from service.ledger.ledger import Ledger

    told = []
    open_capability = _feature().capability
    assert open_capability is not None
    async with (
        Ledger.open(settings.sqlalchemy_url, retention=settings.retention) as ledger,
        open_capability(settings, ledger) as offered,
    ):
        for name, one in settings.targets.items():
            if isinstance(one, KindSettings):
                told.append((name, f"jobs of the kind {one.kind}, with {one.batch:,} rows each", ""))
                continue
            try:
                target = await offered[ImportTargets].open(Import("", 1, name, "insert", (), "", _nothing))
            except (Discard, Retry) as error:
                told.append((name, "", str(error)))
            else:
                columns = ", ".join(f"{column.name} {column.type}" for column in target.columns or ())
                told.append((name, f"the table {one.table} ({columns})", ""))
    return told


def _nothing(*_args: object, **_options: object) -> NoReturn:
    raise NotImplementedError
