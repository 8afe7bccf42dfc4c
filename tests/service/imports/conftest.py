"""An importer over each database."""

from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.service.imports.importing import Importer, importer

# Imports read stored files: without that feature, none can be tried as a job.
collect_ignore = [] if find_spec("service.files") else ["test_capability.py"]
TARGETS = """{
  "people": {"table": "people"},
  "names": {"table": "people", "columns": ["name"]},
  "gone": {"table": "nothing"},
  "events": {"table": "events"},
  "seen": {"table": "seen"},
  "kind": {"kind": "take", "batch": 2}
}"""
PEOPLE = (
    "CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR(10) NOT NULL, born DATE, score NUMERIC(10, 2),"
    " active BOOLEAN, seen TIMESTAMP, email TEXT UNIQUE)"
)


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[Importer]:
    """Imports into `people` and `events`, which has no key."""
    async with importer(database_url, tmp_path, TARGETS) as opened:
        await opened.execute(PEOPLE, "CREATE TABLE events (number BIGINT, name TEXT)")
        yield opened
