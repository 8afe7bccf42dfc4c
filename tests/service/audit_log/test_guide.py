"""What docs/audit-log.md shows works as it says."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from postlude.testing import assert_enqueued, refute_enqueued

from service.audit_log.exporting import export
from service.ledger.ledger import Ledger
from tests.service.api.driving import on_sqlite
from tests.service.audit_log.logging import say

APP, CHECK = re.findall(
    r"^```python\n(.*?)^```", (Path(__file__).parents[3] / "docs" / "audit-log.md").read_text(), re.M | re.S
)


async def test_app_of_the_guide_writes_who_paid_and_who_was_refused() -> None:
    made: dict[str, Any] = {}
    exec(compile(APP, "audit_log_guide", "exec"), made)
    transport = httpx.ASGITransport(made["app"])
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        assert (await client.post("/invoices/42/pay")).status_code == 401
        assert_enqueued("write_audit", action="sign_in.refused", actor="unknown")
        refute_enqueued("write_audit", action="invoice.paid")
        assert (await client.post("/invoices/42/pay", headers={"user": "ann"})).status_code == 200
    assert_enqueued("write_audit", action="invoice.paid", actor="ann", target="invoice:42", data={"amount": 12})


@on_sqlite
async def test_program_of_the_guide_checks_an_export(ledger: Ledger, tmp_path: Path) -> None:
    await say(ledger, "j1", "j2", "j3")
    exported = "".join([page async for page in export(ledger.database)])
    told = []
    for text in (exported, exported.replace('"n":1', '"n":2'), "".join(exported.splitlines(keepends=True)[::2])):
        (tmp_path / "log.jsonl").write_text(text)
        command = [sys.executable, "-c", CHECK, str(tmp_path / "log.jsonl")]
        told.append(subprocess.run(command, capture_output=True, check=False).returncode)
    assert told == [0, 1, 1]
