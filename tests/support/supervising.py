"""Runs the supervisor as `postlude dev` does: a process of its own, with the lock, over programs given as JSON."""

import asyncio
import json
import os
import sys

from service import cli, preflight
from service.dev.child import Program
from service.dev.supervisor import Supervisor
from service.settings import Settings


async def _yes() -> bool:
    return True


async def _supervise(programs: list[Program]) -> None:
    with preflight.only_one(Settings()):
        await Supervisor(programs, env=os.environ, is_ready=_yes).run()


if __name__ == "__main__":
    given = [Program(**fields) for fields in json.loads(sys.argv.pop())]
    sys.argv.append("dev")
    cli.dev.callback = lambda: asyncio.run(_supervise(given))
    cli.main()
