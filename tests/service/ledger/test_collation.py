from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from service.ledger import collation, migrate
from service.settings import Settings
from tests.support.servers import PostgresServer

_BUILT_IN = "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"


@pytest.fixture
def database_made(postgres: PostgresServer) -> Iterator[Callable[[str], str]]:
    """Make an empty database whose collation is given in words of CREATE DATABASE; return its URL."""

    def make(words: str) -> str:
        try:
            postgres.execute(f"CREATE DATABASE collated TEMPLATE template0 {words}")
        except RuntimeError as error:
            pytest.skip(f"this machine does not have it: {error}")
        return postgres.url("collated")

    yield make
    postgres.execute("DROP DATABASE IF EXISTS collated WITH (FORCE)")


async def _warnings(url: str) -> list[str]:
    with capture_logs() as logged:
        await migrate.upgrade(Settings(database_url=url))
    return [entry["remedy"] for entry in logged if entry["event"] == "collation_slow"]


async def test_the_first_migration_warns_of_a_slow_collation_and_later_ones_do_not(
    database_made: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few test machines have a language: see the last case below.
    monkeypatch.setattr(collation, "_GOES_BY_LANGUAGE", text("SELECT true"))
    url = database_made("LC_COLLATE 'C'")
    [remedy] = await _warnings(url)
    assert "LC_COLLATE 'C'" in remedy
    assert await _warnings(url) == []


@pytest.mark.parametrize(
    ("words", "warnings"),
    [("LC_COLLATE 'C'", 0), ("LC_COLLATE 'C.UTF-8'", 0), (_BUILT_IN, 0), ("LC_COLLATE 'en_US.UTF-8'", 1)],
)
async def test_a_collation_is_slow_if_it_is_that_of_a_language(
    database_made: Callable[[str], str], words: str, warnings: int
) -> None:
    assert len(await _warnings(database_made(words))) == warnings
