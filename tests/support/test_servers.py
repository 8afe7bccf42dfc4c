"""A server of the tests may begin with the databases of another: to make them anew takes longer than most tests."""

from pathlib import Path

from tests.support.servers import PostgresServer


def test_a_server_begins_with_the_databases_that_another_has_left(postgres: PostgresServer, short_dir: Path) -> None:
    postgres.leave(short_dir / "left")
    other = PostgresServer(short_dir / "other")
    other.begin_with(short_dir / "left")
    other.start()
    try:
        for server in (postgres, other):
            server.create_database("copied", template="template_postlude")
            server.drop_database("copied")
    finally:
        other.stop()
