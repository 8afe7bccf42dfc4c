"""What `write_audit` makes of its args."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.audit.kind import WriteAuditArgs, WriteAuditResult, write_audit
from jobs.audit.log import AuditLog, Entry, Receipt
from tests.support.fakes import fake_context

CREATED_AT = datetime(2026, 3, 1, tzinfo=UTC)


class Kept:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    async def write(self, entry: Entry) -> Receipt:
        self.entries.append(entry)
        return Receipt(7, "f" * 64)


async def written(**args: Any) -> Entry:
    log = Kept()
    ctx = fake_context(capabilities={AuditLog: log}, job_id="j1", created_at=CREATED_AT)
    result = await write_audit(ctx, WriteAuditArgs.model_validate({"action": "paid", "actor": "ann", **args}))
    assert result == WriteAuditResult(seq=7, hash="f" * 64)
    return log.entries[0]


async def test_entry_is_of_the_job_and_of_its_time() -> None:
    assert await written() == Entry("j1", CREATED_AT, "ann", "paid", None, None, None)
    at = datetime(2025, 5, 5, tzinfo=UTC)
    assert (await written(at=at)).at == at


async def test_same_data_is_the_same_text_and_no_digit_is_lost() -> None:
    data = {"b": [2**70, -0.0, 1e300], "a": "é\u2028\x07"}
    text = (await written(data=data, origin={"request_id": "r", "address": "::1"})).data
    assert text == '{"a":"é\u2028\\u0007","b":[1180591620717411303424,-0.0,1e+300]}'
    assert json.loads(text) == data
    assert (await written(data=dict(reversed(data.items())))).data == text
    empty: list[Any] = [0, "", False, []]
    assert [(await written(data=one)).data for one in empty] == ["0", '""', "false", "[]"]


@pytest.mark.parametrize(
    "args",
    [
        {"action": "audit_log.pruned"},
        {"actor": ""},
        {"target": "a" * 256},
        {"origin": {"host": "x"}},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"more": 1},
    ],
)
def test_what_the_log_does_not_take_is_refused(args: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WriteAuditArgs.model_validate({"action": "paid", "actor": "ann"} | args)
