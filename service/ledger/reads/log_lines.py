"""The kept lines that attempts logged."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from service.fact_tables import log_lines

# More than an attempt may keep: see `service/attempt_lines.py`.
MOST_LINES = 1_000


class LogLine(NamedTuple):
    """A line that an attempt logged, without secrets. `number` counts from 1 within the attempt.

    `left_out` is how many lines right before it were not kept.
    """

    attempt: int
    number: int
    at: datetime
    level: str
    text: str
    names: Mapping[str, Any]
    left_out: int = 0


# (attempt, number) of a line. Later lines have greater positions.
LinePosition = tuple[int, int]
BEFORE_ALL: LinePosition = (0, 0)


async def latest_lines(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, LinePosition]:
    """Return the position of the latest line of each job that has any."""
    found: dict[str, LinePosition] = {}
    key = (log_lines.c.attempt, log_lines.c.number)
    for job_id in ids:  # one seek in the index for each; for all jobs together, databases read all lines
        latest = select(*key).where(log_lines.c.job_id == job_id).order_by(*(column.desc() for column in key)).limit(1)
        if row := (await connection.execute(latest)).first():
            found[job_id] = (row.attempt, row.number)
    return found


async def lines_of(
    connection: AsyncConnection,
    job_id: str,
    *,
    attempt: int | None = None,
    after: LinePosition = BEFORE_ALL,
    limit: int = MOST_LINES,
) -> Sequence[LogLine]:
    """Return the lines of a job, or of one attempt, first to last: at most `limit`, starting after a line."""
    key = (log_lines.c.attempt, log_lines.c.number)
    wanted = [log_lines.c.job_id == job_id, tuple_(*key) > tuple_(*after)]
    if attempt is not None:
        wanted.append(log_lines.c.attempt == attempt)
    columns = (*key, log_lines.c.at, log_lines.c.level, log_lines.c.text, log_lines.c.names)
    rows = await connection.execute(select(*columns).where(*wanted).order_by(*key).limit(limit))
    lines: list[LogLine] = []
    latest = after
    for row in rows:
        before = latest[1] if latest[0] == row.attempt else 0
        names = {} if row.names is None else json.loads(row.names)
        lines.append(LogLine(row.attempt, row.number, row.at, row.level, row.text, names, row.number - before - 1))
        latest = (row.attempt, row.number)
    return lines
