from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from service.ledger import migrate
from service.ledger.database import Database
from tests.support.servers import PostgresServer


@pytest.fixture
def collated(postgres: PostgresServer) -> Iterator[Callable[[str], str]]:
    """Make an empty database whose collation is given in words of CREATE DATABASE; return its URL."""

    def make(words: str) -> str:
        postgres.execute(f"CREATE DATABASE collated TEMPLATE template0 {words}")
        return postgres.url("collated")

    yield make
    postgres.drop_database("collated")


def _migrate_where_text_is_english(connection: Connection) -> None:
    """Migrate as if the database had been made in English, a collation that few test machines have."""
    english = "UPDATE pg_database SET datcollate = 'en_US.utf8' WHERE datname = current_database()"
    connection.execute(text(english))
    migrate._upgrade(connection, ())


async def _warnings(url: str, do: Callable[[Connection], None]) -> list[dict[str, Any]]:
    database = Database.open(url)
    with capture_logs() as logged:
        await database.run(do)
    await database.close()
    return [dict(entry) for entry in logged if entry["event"] == "collation_slow"]


async def test_the_first_migration_says_how_to_make_a_faster_database(collated: Callable[[str], str]) -> None:
    [warning] = await _warnings(collated("LC_COLLATE 'C'"), _migrate_where_text_is_english)
    assert warning["collation"] == "en_US.utf8"
    assert "LC_COLLATE 'C'" in warning["remedy"]


async def test_later_migrations_do_not(collated: Callable[[str], str]) -> None:
    url = collated("LC_COLLATE 'C'")
    await _warnings(url, lambda connection: migrate._upgrade(connection, ()))
    assert await _warnings(url, _migrate_where_text_is_english) == []


@pytest.mark.parametrize(
    "words", ["LC_COLLATE 'C'", "LC_COLLATE 'C.UTF-8'", "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"]
)
async def test_a_database_that_compares_characters_by_number_is_fast(
    collated: Callable[[str], str], words: str
) -> None:
    assert await _warnings(collated(words), lambda connection: migrate._upgrade(connection, ())) == []
