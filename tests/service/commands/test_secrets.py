"""`postlude secrets`: what the database keeps, by key, and whether a key may go."""

import asyncio
import base64
import json
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from service.cli import postlude
from service.ledger.ledger import Ledger
from service.vault import Vault
from tests.support.many_jobs import make_jobs

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
OLD_ID, NEW_ID = (Vault([SecretStr(key)]).key_id for key in (OLD, NEW))


@pytest.fixture
def make(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make two jobs with a secret in clear."""
    monkeypatch.setenv("POSTLUDE_DATABASE_URL", database_url)

    async def make() -> None:
        async with Ledger.open(database_url, retention=timedelta(days=1)) as ledger:
            await make_jobs(ledger, 2, sealed_args=json.dumps({"password": "x"}))

    asyncio.run(make())


def run(command: str, *keys: str) -> Result:
    return CliRunner().invoke(postlude, ["secrets", command], env={"POSTLUDE_SECRET_KEYS": ",".join(keys)})


@pytest.mark.usefixtures("make")
def test_keys_come_and_go() -> None:
    told = run("status")
    assert (told.exit_code, told.output) == (0, "in clear: 2 secrets\n")
    assert run("rotate").exit_code == 1
    told = run("status", OLD)
    assert (told.exit_code, told.output) == (1, f"{OLD_ID}: 0 secrets (seals)\nin clear: 2 secrets\n")
    told = run("rotate", OLD)
    assert told.exit_code == 0
    assert "jobs.sealed_args: 2 secrets checked, 2 resealed\n" in told.output
    told = run("status", NEW, OLD)
    assert told.exit_code == 1
    assert f"{OLD_ID}: 2 secrets (still needed)\n" in told.output
    told = run("rotate", NEW)
    assert told.exit_code == 1
    assert "0 resealed, 2 not readable" in told.output
    assert f"{OLD_ID}: 2 secrets (MISSING" in told.output
    assert run("rotate", NEW, OLD).exit_code == 0
    assert f"{OLD_ID}: 0 secrets (no longer needed)\n" in run("status", NEW, OLD).output
    told = run("status", NEW)
    assert (told.exit_code, told.output) == (0, f"{NEW_ID}: 2 secrets (seals)\nin clear: 0 secrets\n")
    assert OLD not in run("status", "no key", OLD).output
