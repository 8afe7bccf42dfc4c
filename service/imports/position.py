"""The one rule for all writes of an import: they belong to the latest attempt, and continue from its position."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import and_, bindparam

from jobs.csv.targets import Standing
from service.imports.tables import imports

COUNTS = ("inserted", "updated", "skipped", "failed")
# Whether an import is where an attempt left it.
IS_AT = and_(
    imports.c.job_id == bindparam("of_job"),
    imports.c.attempt == bindparam("of_attempt"),
    imports.c.rows_done == bindparam("from_row"),
)


def at(job_id: str, attempt: int, standing: Standing) -> dict[str, object]:
    """Return the parameters of `IS_AT`."""
    return {"of_job": job_id, "of_attempt": attempt, "from_row": standing.rows}


def columns_of(standing: Standing, now: datetime) -> dict[str, object]:
    """Return the columns that record an import's position."""
    counts = {name: getattr(standing, name) for name in COUNTS}
    return {"rows_done": standing.rows, "planned": standing.planned, "updated_at": now, **counts}


def moved(standing: Standing, rows: int, *, inserted: int, updated: int, skipped: int, failed: int) -> Standing:
    """Return where an import is after a batch of `rows`."""
    return replace(
        standing,
        rows=standing.rows + rows,
        inserted=standing.inserted + inserted,
        updated=standing.updated + updated,
        skipped=standing.skipped + skipped,
        failed=standing.failed + failed,
        planned=0,
    )
