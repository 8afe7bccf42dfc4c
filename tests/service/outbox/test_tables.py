"""The outbox is declared twice: the client knows nothing of the service, and the service nothing of the client."""

from typing import Any

import pytest
from postlude import outbox as clients
from sqlalchemy import MetaData, Table, create_mock_engine

from service.outbox import tables


def ddl(table: Table, url: str) -> list[str]:
    """Return all that is executed to create a table."""
    said: list[str] = []

    def note(statement: Any, *_: Any, **__: Any) -> None:
        said.append(" ".join(str(statement.compile(dialect=engine.dialect)).split()))

    engine = create_mock_engine(url, note)
    table.create(engine, checkfirst=False)
    return said


@pytest.mark.parametrize(("url", "statements"), [("sqlite://", 1), ("postgresql+asyncpg://", 3)])
def test_the_clients_table_is_the_services(url: str, statements: int) -> None:
    ours, theirs = ddl(tables.outbox, url), ddl(clients.table(MetaData()), url)
    assert ours == theirs
    assert len(ours) == statements
