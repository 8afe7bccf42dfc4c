"""`postlude audit-log` as an operator uses it."""

import asyncio
import base64
import hashlib
import hmac
import json
from functools import partial
from typing import Any

import pytest
import rfc8785
from click.testing import CliRunner, Result

from service.audit_log.chain import Keys
from service.audit_log.records import record_deleted, record_entries
from service.cli import postlude
from service.ledger.ledger import Ledger
from service.ledger.states import State
from tests.service.audit_log.logging import KEY, entry, rows, say
from tests.service.audit_log.test_verifying import found, run, unguarded
from tests.service.ledger.makers import enqueue, new_job


def called(*arguments: str) -> Result:
    result = CliRunner().invoke(postlude, ["audit-log", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def of_the_ledger(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTLUDE_DATABASE_URL", database_url)
    monkeypatch.setenv("POSTLUDE_AUDIT_LOG_KEYS", KEY.get_secret_value())


async def shell(*arguments: str) -> Result:
    return await asyncio.to_thread(called, *arguments)


@pytest.mark.usefixtures("of_the_ledger")
async def test_operator_notes_a_head_and_checks_the_log_by_it_later(ledger: Ledger) -> None:
    keys = Keys([KEY])
    assert (await shell("head")).output == f"0:{'0' * 64}\n"
    assert (await shell("verify")).exit_code == 0
    receipts = await say(ledger, "j1", "j2", keys=keys)
    head = (await shell("head")).output.strip()
    assert head == f"2:{receipts[1].hash}"
    await say(ledger, "j3", keys=keys)
    told = await shell("verify", "--head", head, "--head", f"1:{receipts[0].hash}")
    assert (told.exit_code, told.stdout.count("3 entries checked: the log is whole; head 3:")) == (0, 1)
    await unguarded(ledger)
    await run(ledger, "UPDATE audit_log SET actor = 'eve' WHERE seq = 1")
    told = await shell("verify")
    assert told.exit_code == 1
    assert "entry 1 was changed" in told.stdout
    assert "1 thing is wrong" in told.stdout
    for bad in ("x", "1:", f"x:{'0' * 64}", "1:abc"):
        assert (await shell("verify", "--head", bad)).exit_code == 2


def test_no_database_is_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTLUDE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    told = called("verify")
    assert (told.exit_code, "Traceback" in told.output) == (2, False)


@pytest.mark.usefixtures("of_the_ledger")
async def test_lines_of_the_export_prove_themselves(ledger: Ledger) -> None:
    """As docs/audit-log.md says, without any of our code."""
    numbers = [2**63, -0.0, 1e300, 5e-324, 10**400, 0.1]
    data: list[Any] = [{"n": numbers, "é\u2028": "\\u0000 \x7f 🎉", "a": {"z": None, "b": True}}, "", 0, []]
    log = [entry(f"j{n}", one) for n, one in enumerate(data)]
    await ledger.database.run(partial(record_entries, entries=log, keys=Keys([KEY])))
    lines = (await shell("export")).stdout.splitlines()
    assert (await shell("export", "--after", "3")).stdout.splitlines() == lines[3:]
    key, previous = base64.b64decode(KEY.get_secret_value()), "0" * 64
    for line, one in zip(lines, data, strict=True):
        said = json.loads(line)
        assert json.dumps(said["data"], sort_keys=True) == json.dumps(one, sort_keys=True), "to the last digit"
        told = said.pop("hash")
        for name in ("origin", "data"):
            if said[name] is not None:
                said[name] = json.dumps(said[name], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        assert (hmac.digest(key, rfc8785.dumps(said), hashlib.sha256).hex(), said["previous_hash"]) == (told, previous)
        previous = told


@pytest.mark.usefixtures("of_the_ledger")
async def test_what_is_pruned_is_noted_and_the_rest_is_still_checked(ledger: Ledger) -> None:
    keys = Keys([KEY])
    receipts = await say(ledger, *(f"j{n}" for n in range(6)), keys=keys)
    await run(ledger, "UPDATE audit_log_head SET pruned_through = 5")
    live = new_job(id="j4", kind="write_audit", state=State.RUNNING)
    await enqueue(ledger, live)
    assert (await shell("prune", "--before", "2020-01-01")).stdout == "0 entries deleted\n"
    told = await shell("prune", "--before", "2999-01-01")
    assert told.stdout == "4 entries deleted\n", "a job that may still run finds its entry"
    assert [row.seq for row in await rows(ledger)] == [5, 6, 7]
    assert await found(ledger, keys) == []
    assert (await shell("verify", "--head", f"4:{receipts[3].hash}")).exit_code == 0
    assert "head 2 lies before" in (await shell("verify", "--head", f"2:{receipts[1].hash}")).stdout
    assert (await shell("verify", "--head", f"4:{'0' * 64}")).exit_code == 1
    assert [one.seq for one in await say(ledger, "j4", "j9", keys=keys)] == [5, 8]
    await unguarded(ledger)
    await run(ledger, "DELETE FROM audit_log WHERE seq = 5")
    assert any("missing" in one for one in await found(ledger, keys)), "more than the note says"


@pytest.mark.usefixtures("of_the_ledger")
async def test_pruning_that_was_killed_goes_on_where_it_was(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys([KEY])
    await say(ledger, *(f"j{n}" for n in range(6)), keys=keys)

    def killed(*_: object, **__: object) -> int:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("service.audit_log.pruning.record_deleted", killed)
        with pytest.raises(RuntimeError, match="killed"):
            await shell("prune", "--before", "2999-01-01")
    await ledger.database.run(lambda connection: record_deleted(connection, 2))
    assert [row.seq for row in await rows(ledger)] == [3, 4, 5, 6, 7]
    assert await found(ledger, keys) == []
    assert (await shell("prune", "--before", "2000-01-01")).stdout == "4 entries deleted\n"
    assert await found(ledger, keys) == []
