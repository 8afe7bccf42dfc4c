"""A job with a retry policy of its own has become due again, so its `max_duration` restarts."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, String, select, update

from service.ledger.rows import found_by, parameter, unfold
from service.own_retry import retry_until
from service.tables import Moment, jobs, moment_text


def renew_retries(connection: Connection, due: Mapping[str, datetime]) -> None:
    """Restart the jobs' own policies at their new due times. Jobs without a policy stay as they are."""
    columns = (jobs.c.id, jobs.c.retry)
    own = connection.execute(select(*columns).where(jobs.c.id.in_(due), jobs.c.retry.is_not(None)))
    until = {job_id: retry_until(retry, due[job_id]) for job_id, retry in own}
    rows = [{"id": job_id, "until": moment_text(moment)} for job_id, moment in until.items() if moment is not None]
    if rows:
        connection.execute(_renew(connection.dialect.name), parameter(rows))


@cache
def _renew(dialect: str) -> Any:
    new = unfold(dialect, "new", {"id": String(255), "until": Moment()})
    return update(jobs).where(found_by(dialect, jobs.c.id, new.c.id)).values(retry_until=new.c.until)
