"""`postlude outbox`: what an application's own database needs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sqlalchemy import Table


@click.group()
def outbox() -> None:
    """Outboxes: jobs that applications write in their own transactions."""


@outbox.command()
@click.option("--dialect", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True)
def ddl(dialect: str) -> None:
    """Print the SQL that makes an outbox in your own database.

    The ledger's own database has one: `postlude migrate` makes it. Name others in POSTLUDE_OUTBOX_URLS.
    """
    from service.features import FEATURES

    tables = [table for feature in FEATURES for table in feature.tables if table.name == "postlude_outbox"]
    for table in tables:
        for statement in creation(table, dialect):
            click.echo(f"{statement};")


def creation(table: "Table", dialect: str) -> Iterator[str]:
    """Yield every statement that creates a table: on Postgres its trigger, too."""
    from sqlalchemy import create_mock_engine
    from sqlalchemy.schema import CreateTable

    statements: list[Any] = []
    engine = create_mock_engine(f"{dialect}://", lambda statement, *_, **__: statements.append(statement))
    table.create(engine, checkfirst=False)
    for statement in statements:
        if isinstance(statement, CreateTable):
            statement.if_not_exists = True
        yield str(statement.compile(dialect=engine.dialect)).strip()
