"""`postlude workers`, as a process, against an API that runs."""

from functools import partial

import httpx

from service.ledger.ledger import Ledger
from service.ledger.records.workers import record_ended
from tests.service.api.driving import on_sqlite
from tests.service.api.test_workers import register, write
from tests.service.commands import commanding
from tests.service.ledger.makers import enqueue, new_job, start

run = partial(commanding.run, group="workers")


@on_sqlite
async def test_workers_are_listed_shown_drained_and_forgotten(api: httpx.AsyncClient, ledger: Ledger) -> None:
    assert (await run(api.base_url, "list")).err == "no workers\n"
    await register(ledger, alive=1, crashed=1)
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
    await write(ledger, record_ended, "crashed", now, crashed=True)
    job = new_job()
    await enqueue(ledger, job)
    assert await start(ledger, job.id, "alive")

    heading, *rows = (await run(api.base_url, "list")).out.splitlines()
    assert heading.split() == ["ID", "STATE", "RUNNING", "VERSION", "HEARTBEAT", "QUEUES"]
    assert [row.split()[:2] for row in rows] == [["crashed", "silent"], ["alive", "alive"]]
    shown = (await run(api.base_url, "show", "alive")).out
    for said in (
        "running      1 of 50",
        "process      7 on node",
        "memory       89 MiB",
        f"job          {job.id}  greet",
    ):
        assert said in shown
    drained = await run(api.base_url, "drain", "alive", "nobody")
    assert (drained.code, drained.out) == (1, "alive  draining  1 of 50 run\n")
    assert drained.err.startswith("error: nobody: There is no worker 'nobody'")
    assert (await run(api.base_url, "forget", "crashed")).out == "crashed  silent  0 of 50 run\n"
    refused = await run(api.base_url, "forget", "alive")
    assert (refused.code, refused.err.startswith("error: alive: The worker is alive. Only dead workers")) == (1, True)
