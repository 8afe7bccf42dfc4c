"""Writers of the audit log that are killed again and again in the middle of it, while others write."""

import asyncio
import os
import random
import sys
import time
from signal import SIGKILL

from service.audit_log.capability import LedgerAuditLog
from service.audit_log.chain import Keys
from service.ledger.database import Database
from tests.service.audit_log.logging import entry

JOBS, _AT_ONCE, _WRITERS = 4_000, 20, 3


async def _write(url: str, told: int) -> None:
    log = LedgerAuditLog(Database.open(url), Keys())
    while True:
        some = random.sample(range(JOBS), _AT_ONCE)
        await asyncio.gather(*(log.write(entry(f"j{number}", {"number": number})) for number in some))
        os.write(told, b".")


def _writer(url: str) -> tuple[int, int]:
    """Begin a writer in a process of its own; return its id, and where it tells that it has written."""
    reads, told = os.pipe()
    if pid := os.fork():
        os.close(told)
        return pid, reads
    random.seed()
    asyncio.run(_write(url, told))
    raise AssertionError("a writer writes until it is killed")


def main(url: str, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    writers = [_writer(url) for _ in range(_WRITERS)]
    try:
        for _ in range(kills):
            pid, reads = writers[0]
            assert os.read(reads, 1), "a writer has died by itself"
            time.sleep(moments.uniform(0, 0.03))
            _kill(pid)
            writers = [*writers[1:], _writer(url)]
    finally:
        for pid, _ in writers:
            _kill(pid)


def _kill(pid: int) -> None:
    os.kill(pid, SIGKILL)
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
