"""Reads of imports."""

import json
from collections.abc import Sequence

from sqlalchemy import Connection, inspect, select

from jobs.csv.records import BadRow
from service.imports.tables import import_errors, metadata

PAGE = 500


def bad_rows(connection: Connection, job_id: str, after: int) -> Sequence[BadRow]:
    """Return the next bad rows of an import, in the order of their lines."""
    wanted = import_errors.c.job_id == job_id, import_errors.c.line > after
    found = connection.execute(select(import_errors).where(*wanted).order_by(import_errors.c.line).limit(PAGE))
    return [BadRow(row.line, row.reason, json.loads(row.cells)) for row in found]


def has_tables(connection: Connection) -> bool:
    """Whether a database has the tables that record how far imports are."""
    names = inspect(connection).get_table_names()
    return set(metadata.tables) <= set(names)
