"""Commands on the ledger itself are on the trail, under the name of the person who runs them."""

import asyncio
import base64

import pytest
from click.testing import CliRunner

from service.cli import postlude
from service.ledger.database import Database
from service.trail.entries import Noted, TrailFilter
from service.trail.reads import list_actions


def run(*arguments: str, **options: str) -> str:
    ran = CliRunner().invoke(postlude, arguments, **options)  # type: ignore[arg-type]
    assert ran.exit_code == 0, ran.output
    return ran.output


async def trail(url: str) -> list[Noted]:
    database = Database.open(url)
    async with database.connect() as connection:
        noted = await list_actions(connection, TrailFilter(), 100)
    await database.close()
    return [*reversed(noted)]


def test_who_changed_keys_users_and_secrets_by_a_command_is_noted(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTLUDE_DATABASE_URL", database_url)
    monkeypatch.setenv("POSTLUDE_SECRET_KEYS", base64.b64encode(b"k" * 32).decode())
    key, told, *_ = run("keys", "create", "deploy", "--scope", "read").splitlines()
    key_id = told.split()[0]
    assert CliRunner().invoke(postlude, ["keys", "revoke", key]).exit_code == 1, "that was the key, and no id"
    run("keys", "revoke", key_id)
    run("users", "add", "ann", input="a-long-password\n")
    run("users", "role", "ann", "admin")
    run("secrets", "rotate")
    noted = asyncio.run(trail(database_url))
    assert [(one.action, one.target_type, one.ending) for one in noted] == [
        ("create", "key", "done"),
        ("revoke", "key", "done"),
        ("create", "user", "done"),
        ("set_role", "user", "done"),
        ("rotate", "secrets", "done"),
    ]
    assert {one.principal for one in noted} == {"command"}
    assert [one.target for one in noted[:4]] == [key_id, key_id, "ann", "ann"]
    assert noted[3].after["role"] == "admin"
    assert not [one for one in noted if key in str(one) or "a-long-password" in str(one)]
