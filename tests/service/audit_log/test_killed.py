"""Workers that are killed in the middle of their writes leave a whole chain with at most one entry for each job."""

import asyncio
import sys
from collections import Counter

import pytest

from service.ledger.ledger import Ledger
from tests.service.audit_log.logging import rows, say
from tests.service.audit_log.test_verifying import found
from tests.support.checkout import ROOT


@pytest.mark.short("postgres", "few")
@pytest.mark.parametrize(("kills", "seed"), [(5, 1), (50, 2), (50, 3)], ids=["few", "many", "many-again"])
async def test_kill_9_leaves_a_whole_chain(ledger: Ledger, database_url: str, kills: int, seed: int) -> None:
    command = [sys.executable, "-m", "tests.support.mortal_auditor", database_url, str(kills), str(seed)]
    killer = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    assert await killer.wait() == 0
    await say(ledger, *(f"j{n}" for n in range(20)))
    kept = await rows(ledger)
    assert len(kept) > 100
    assert [row.seq for row in kept] == [*range(1, len(kept) + 1)]
    assert max(Counter(row.job_id for row in kept).values()) == 1
    assert await found(ledger) == []
