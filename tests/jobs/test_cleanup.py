from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import insert
from structlog.testing import capture_logs

from jobs import Context, load
from jobs.cleanup import CleanupArgs, cleanup
from service.features import FEATURES
from service.file_tables import files
from service.ledger.ledger import Ledger
from service.ledger.models import NewJob
from service.ledger.reads import jobs as queries
from service.ledger.states import State
from service.retention import Retention
from service.settings import Settings
from tests.service.ledger.makers import enqueue, new_job
from tests.support.fakes import fake_context
from tests.support.writing import writing


async def ended(ledger: Ledger, *days_ago: float) -> list[NewJob]:
    """Add jobs that ended this many days ago, and an expired file."""
    now = datetime.now(UTC)
    file = {"id": str(UUID(int=1)), "name": "old.txt", "size": 0, "content_type": "text/plain", "sha256": "0" * 64}
    async with writing(ledger.database) as connection:
        await connection.execute(insert(files).values(**file, created_at=now - timedelta(days=31), expires_at=now))
    jobs = [new_job(state=State.SUCCEEDED, finished_at=now - timedelta(days=days)) for days in days_ago]
    await enqueue(ledger, *jobs)
    return jobs


def context(ledger: Ledger, data_dir: Path) -> Context:
    return fake_context(ledger=Retention(Settings(data_dir=data_dir), ledger, FEATURES))


async def left(ledger: Ledger, jobs: list[NewJob]) -> int:
    async with ledger.read() as connection:
        return len(await queries.states_of(connection, [job.id for job in jobs]))


async def test_it_deletes_jobs_and_files_past_the_retention_or_what_the_args_say(
    ledger: Ledger, tmp_path: Path
) -> None:
    jobs = await ended(ledger, 31, 8, 1)
    ctx = context(ledger, tmp_path)
    for rest, days in ((2, None), (1, 7), (0, 0)):
        result = await cleanup(ctx, CleanupArgs(older_than_days=days, dry_run=False))
        assert (result.deleted["jobs"], result.deleted["files"]) == (1, 1 if days is None else 0)
        assert result.older_than_days == (30 if days is None else days)
        assert await left(ledger, jobs) == rest


async def test_it_keeps_failed_jobs_for_as_long_as_the_settings_say(ledger: Ledger, tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=40)
    jobs = [new_job(state=state, finished_at=long_ago) for state in (State.SUCCEEDED, State.FAILED)]
    await enqueue(ledger, *jobs)
    settings = Settings(data_dir=tmp_path, retention_failed_days=90)
    ctx = fake_context(ledger=Retention(settings, ledger, FEATURES))
    assert (await cleanup(ctx, CleanupArgs())).deleted["jobs"] == 1
    assert await left(ledger, jobs[1:]) == 1
    assert (await cleanup(ctx, CleanupArgs(older_than_days=30))).deleted["jobs"] == 1


async def test_a_dry_run_only_says_what_it_would_delete(ledger: Ledger, tmp_path: Path) -> None:
    jobs = await ended(ledger, 31, 1)
    ctx = context(ledger, tmp_path)
    result = await cleanup(ctx, CleanupArgs(older_than_days=None, dry_run=True))
    assert result.dry_run
    assert (result.deleted["jobs"], result.deleted["files"]) == (1, 1)
    assert await left(ledger, jobs) == 2


async def test_it_says_in_the_log_what_it_deleted(ledger: Ledger, tmp_path: Path) -> None:
    await ended(ledger, 31)
    with capture_logs() as lines:
        await cleanup(context(ledger, tmp_path), CleanupArgs(older_than_days=None, dry_run=False))
    (line,) = lines
    assert (line["event"], line["jobs"], line["files"], line["dry_run"]) == ("cleaned_up", 1, 1, False)


def test_it_runs_every_night_without_args() -> None:
    kind = load()["cleanup"]
    ticks = kind.expression.after(datetime(2026, 1, 1, tzinfo=UTC))
    assert [next(ticks).isoformat() for _ in range(2)] == ["2026-01-01T03:17:00+00:00", "2026-01-02T03:17:00+00:00"]
    assert kind.load_args("{}") == CleanupArgs(older_than_days=None, dry_run=False)


@pytest.mark.parametrize("wrong", [{"older_than_days": -1}, {"older_than_days": 10**6}, {"older_than": 3}])
def test_args_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        CleanupArgs.model_validate(wrong)
