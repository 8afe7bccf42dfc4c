from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from service.features import FEATURES
from service.ledger import migrate
from service.ledger.all_tables import metadata
from service.ledger.database import Database
from service.ledger.indexes import build_missing
from service.ledger.ledger import Ledger
from service.ledger.models import Finish
from service.ledger.reads import listing
from service.ledger.reads.workers import running_under
from service.ledger.revisions import is_current
from service.ledger.states import TERMINAL, Outcome, State
from service.settings import Settings
from tests.service.ledger.linking import edges, end
from tests.service.ledger.makers import NOW, enqueue, live_worker, new_job, start
from tests.support.servers import PostgresServer
from tests.support.writing import writing

_METADATA = [metadata, *{table.metadata for feature in FEATURES for table in feature.tables}]


def _differences(connection: Connection) -> object:
    return compare_metadata(MigrationContext.configure(connection), _METADATA)  # type: ignore[arg-type]


# On SQLite nobody can ask for them; on Postgres they are compared too.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
async def test_models_and_migrations_agree(ledger: Ledger) -> None:
    async with ledger.read() as connection:
        assert await connection.run_sync(_differences) == []


async def test_upgrading_twice_changes_nothing(ledger: Ledger, database_url: str, tmp_path: object) -> None:
    await migrate.upgrade(Settings(database_url=database_url))
    assert await is_current(ledger.database)


def _to(connection: Connection, revision: str) -> None:
    """Bring a database to a revision, with the chain of migrations as it is."""
    config = migrate._config()
    config.attributes.update(connection=connection, version_table="alembic_version")
    is_later = revision == "head" or MigrationContext.configure(connection).get_current_revision() is None
    (command.upgrade if is_later else command.downgrade)(config, revision)


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
async def test_ledger_goes_back_to_the_first_version_and_up_again_with_its_jobs(ledger: Ledger) -> None:
    waiting, running = new_job(), new_job()
    await live_worker(ledger, "w1")
    await enqueue(ledger, waiting, running)
    assert await start(ledger, running.id, "w1")
    async with writing(ledger.database) as connection:
        await connection.run_sync(_to, "0001")
        await connection.run_sync(_to, "head")
    await build_missing(ledger.database, metadata.tables.values())
    async with ledger.read() as connection:
        assert await connection.run_sync(_differences) == []
        (orphan_free,) = await running_under(connection, "w1")
        assert (orphan_free["id"], orphan_free["prefetched"]) == (running.id, 0)
    assert await start(ledger, waiting.id, "w1")


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table, of each sort."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'earlier.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    yield server.create_database("earlier")
    server.drop_database("earlier")


_STATES = ("scheduled", "queued", "running", "retrying", "succeeded", "failed", "cancelled")
_LISTED = "INSERT INTO job_listing (created_at, job_id, kind, queue) SELECT created_at, id, kind, queue FROM jobs"


def _ledger_of(revision: str) -> list[str]:
    """Return what fills a ledger of a revision: a job in each state, a worker that lives, an attempt, a tag, a tick."""
    at = "'2026-01-01T00:00:00.000000Z'"
    jobs = ", ".join(
        f"('{state}', 'greet', '{state}', 'mail', '{{}}', 3, 1, '[\"a\"]', 'w1', {at}, {at}, {at},"
        f" {at if state in TERMINAL else 'NULL'})"
        for state in _STATES
    )
    return [
        "INSERT INTO workers (id, hostname, pid, queues, started_at, heartbeat_at, beating_since)"
        f" VALUES ('w1', 'here', 1, 'mail', {at}, {at}, {at})",
        "INSERT INTO jobs (id, kind, state, queue, args, max_attempts, attempt, tags, worker, run_at, created_at,"
        f" started_at, finished_at) VALUES {jobs}",
        *([] if revision == "0001" else [_LISTED]),
        "INSERT INTO job_tags (tag, created_at, job_id) SELECT 'a', created_at, id FROM jobs",
        "INSERT INTO attempts (job_id, number, outcome, worker, started_at, finished_at)"
        f" SELECT id, 1, 'failed', 'w1', {at}, {at} FROM jobs WHERE state = 'failed'",
        f"INSERT INTO ticks (kind, due_at, job_id, cron) VALUES ('greet', {at}, 'queued', '* * * * *')",
    ]


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
@pytest.mark.parametrize("revision", [f"000{number}" for number in range(1, 8)])
async def test_a_ledger_of_an_earlier_version_works_with_all_its_jobs_after_the_upgrade(
    empty_url: str, tmp_path: Path, revision: str
) -> None:
    def build(connection: Connection) -> None:
        _to(connection, revision)
        for statement in _ledger_of(revision):
            connection.exec_driver_sql(statement)

    earlier = Database.open(empty_url)
    await earlier.run(build)
    await earlier.close()
    await migrate.upgrade(Settings(database_url=empty_url, data_dir=tmp_path), [one.schema for one in FEATURES])
    async with Ledger.open(empty_url, retention=timedelta(days=30)) as ledger:
        assert await is_current(ledger.database)
        async with ledger.read() as connection:
            assert await connection.run_sync(_differences) == []
            for wanted in (listing.Filter(), listing.Filter(kinds=("greet",)), listing.Filter(tag="a")):
                assert {row["id"] for row in await listing.list_jobs(connection, wanted, 10)} == set(_STATES)
            assert [row["id"] for row in await running_under(connection, "w1")] == ["running"]
        started = await start(ledger, "queued", "w1", NOW)
        assert started is not None
        assert (started.attempt, started.trace_context, started.metadata) == (2, None, None)
        running = Finish("running", "greet", 1, "w1", Outcome.SUCCEEDED, State.SUCCEEDED, NOW)
        assert await ledger.finish(running) is not None
        assert await ledger.replay("failed", NOW)
        assert (await ledger.purge(timedelta(0), dry_run=False))["jobs"] == len({*TERMINAL, "running"}) - 1


async def test_edges_of_an_earlier_version_say_what_they_said_and_are_decided_after_the_upgrade(
    empty_url: str, tmp_path: Path
) -> None:
    at = "'2026-01-01T00:00:00.000000Z'"
    said = {("queued", "waits"): "open", ("succeeded", "waits"): "met", ("failed", "cancelled"): "broken"}

    def build(connection: Connection) -> None:
        _to(connection, "0018")
        rows = ", ".join(f"('{parent}', '{child}', 'succeeded', '{state}')" for (parent, child), state in said.items())
        for statement in [
            *_ledger_of("0018"),
            "INSERT INTO jobs (id, kind, state, queue, args, max_attempts, run_at, created_at, traits, blocked_by)"
            f" VALUES ('waits', 'greet', 'blocked', 'mail', '{{}}', 3, {at}, {at}, 1, 1)",
            "UPDATE jobs SET traits = 2 WHERE id IN ('queued', 'succeeded', 'failed')",
            f"INSERT INTO job_edges (parent, child, run_when, state) VALUES {rows}",
        ]:
            connection.exec_driver_sql(statement)

    earlier = Database.open(empty_url)
    await earlier.run(build)
    await earlier.close()
    await migrate.upgrade(Settings(database_url=empty_url, data_dir=tmp_path), [one.schema for one in FEATURES])
    async with Ledger.open(empty_url, retention=timedelta(days=30)) as ledger:
        assert await edges(ledger) == said
        [released] = (await end(ledger, "queued")).followed.released
        assert released.id == "waits"
        assert await edges(ledger) == said | {("queued", "waits"): "met"}
