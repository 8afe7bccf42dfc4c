"""Imports whose attempts are killed with `kill -9` at random moments: `python -m tests.support.mortal_imports`.

Each attempt is a process of its own, forked from this one, which has no loop and no thread. It takes another number of
rows at a time than the one before it. Prints one JSON object for each seed: how many attempts were killed, and what is
in the table and among the bad rows in the end, in the order of its insertion.
"""

import asyncio
import json
import os
import random
import sys
import time
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Any

from sqlalchemy import text

from jobs.kit.outcomes import Snooze
from tests.service.imports.importing import Importer, importer

_MOST_ATTEMPTS = 60
_TARGETS = '{"people": {"table": "people"}, "kind": {"kind": "take"}}'
_TABLES = (
    "CREATE TABLE people (at {serial}, number BIGINT, name TEXT)",
    "CREATE TABLE taken (id VARCHAR(36) PRIMARY KEY, args TEXT)",
)


def main() -> None:
    url, folder, target, *seeds = sys.argv[1:]
    serial = "INTEGER PRIMARY KEY" if url.startswith("sqlite") else "BIGSERIAL"
    asyncio.run(_with_importer(url, folder, partial(_make, serial=serial)))
    for seed in seeds:
        killed = _until_done(url, folder, target, int(seed))
        found = asyncio.run(_with_importer(url, folder, partial(_found, target=target, seed=seed)))
        sys.stdout.write(json.dumps({"seed": int(seed), "killed": killed, **found}) + "\n")


def _until_done(url: str, folder: str, target: str, seed: int) -> int:
    """Run attempts until one succeeds; return how many were killed."""
    chance = random.Random(seed)
    for attempt in range(1, _MOST_ATTEMPTS):
        child = os.fork()
        if not child:
            _attempt_in_child(url, folder, target, seed, attempt, chance.randrange(1, 60))
        if attempt < _MOST_ATTEMPTS - 10:
            time.sleep(chance.uniform(0.0, 0.15 if attempt % 3 else 0.6))
            os.kill(child, SIGKILL)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return attempt - 1
        if not os.WIFSIGNALED(status):
            raise SystemExit("an attempt failed by itself")
    raise SystemExit("the import was never done")


def _attempt_in_child(url: str, folder: str, target: str, seed: int, attempt: int, batch_size: int) -> None:
    run = partial(_attempt, target=target, seed=seed, attempt=attempt, batch_size=batch_size)
    try:
        asyncio.run(_with_importer(url, folder, run))
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - the parent must not go on in the child
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)


async def _with_importer(url: str, folder: str, do: Any) -> Any:
    async with importer(url, Path(folder), _TARGETS) as desk:
        return await do(desk)


async def _make(desk: Importer, serial: str) -> None:
    await desk.execute(*(sql.format(serial=serial) for sql in _TABLES))


async def _attempt(desk: Importer, target: str, seed: int, attempt: int, batch_size: int) -> None:
    async def enqueue(_kind: str, args: Any, *, id: str) -> str:  # noqa: A002 - its name
        insert = text("INSERT INTO taken VALUES (:id, :args) ON CONFLICT DO NOTHING")
        row = {"id": id, "args": json.dumps(args)}
        await desk.database.run(lambda connection: connection.execute(insert, row))
        return id

    desk.enqueue = enqueue  # type: ignore[assignment, method-assign]
    try:
        await desk.run(target=target, attempt=attempt, batch_size=batch_size, job_id=job_id_of(seed))
    except Snooze:
        os._exit(SIGKILL)  # never: there is time enough


async def _found(desk: Importer, target: str, seed: str) -> dict[str, Any]:
    """Return what has gone in, and forget it."""
    bad = await desk.rows(
        f"SELECT line FROM postlude_import_errors WHERE job_id = '{job_id_of(int(seed))}' ORDER BY line"
    )
    if target == "kind":
        jobs = [json.loads(args) for (args,) in await desk.rows("SELECT args FROM taken")]
        jobs.sort(key=lambda args: int(args["first"]))
        rows = [[row["number"], row["name"]] for args in jobs for row in args["rows"]]
    else:
        rows = [list(row) for row in await desk.rows("SELECT number, name FROM people ORDER BY at")]
    await desk.execute("DELETE FROM people", "DELETE FROM taken")
    return {"rows": rows, "bad": [line for (line,) in bad]}


def job_id_of(seed: int) -> str:
    """Return the id of the import of a seed."""
    return f"018f0000-0000-7000-8000-{seed:012d}"


if __name__ == "__main__":
    main()
