"""`postlude keys` and `postlude users`, on the ledger itself."""

import asyncio
import re

import pytest
from click.testing import CliRunner, Result

from service.cli import postlude
from service.settings import Settings
from tests.service.api.driving import assert_problem, on_sqlite
from tests.support.keyed import bearer
from tests.support.running import running_api


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.variables().items():
        monkeypatch.setenv(name, value)


async def run(*arguments: str, said: str | None = None) -> Result:
    """Run a command beside this loop, as a process would."""
    return await asyncio.to_thread(CliRunner().invoke, postlude, arguments, said)


@on_sqlite
async def test_the_first_key_is_made_without_the_api_and_opens_it(settings: Settings) -> None:
    made = await run("keys", "create", "ops", "--scope", "admin", "--scope", "read")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert re.fullmatch(r"plk_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", key)
    key_id = made.stderr.split()[0]
    assert key_id in (await run("keys", "list")).stdout
    async with running_api(settings) as api:
        assert_problem(await api.get("/v1/keys"), 401)
        assert (await api.get("/v1/keys", headers=bearer(key))).json()["keys"][0]["id"] == key_id
        rotated = (await run("keys", "rotate", key_id, "--grace-s", "0")).stdout.strip()
        assert (await api.get("/v1/keys", headers=bearer(rotated))).status_code == 200
    assert (await run("keys", "revoke", key_id)).stdout == "ops: revoked\n"
    assert (await run("keys", "list")).stdout == ""
    assert "revoked" in (await run("keys", "list", "--revoked")).stdout
    again = await run("keys", "revoke", key_id)
    assert again.exception is not None
    assert "already been revoked" in str(again.exception)
    limited = await run("keys", "create", "x", "--scope", "admin", "--kind", "a")
    assert (limited.exit_code, "cannot be limited" in limited.stderr) == (2, True)


@on_sqlite
async def test_users_are_added_changed_and_disabled_and_their_passwords_are_not_shown(settings: Settings) -> None:
    secret = "correct horse battery"
    added = await run("users", "add", "anna", "--role", "operator", said=f"{secret}\n")
    assert (added.exit_code, added.stdout.split()[:3]) == (0, ["anna", "operator", "enabled"])
    await run("users", "add", "bert@example.com", "--without-password", "--hide-args")
    assert (await run("users", "role", "anna", "admin")).stdout.split()[1] == "admin"
    assert (await run("users", "password", "anna", said=f"{secret}!\n")).exit_code == 0
    assert (await run("users", "disable", "anna")).stdout.split()[2] == "disabled"
    assert (await run("users", "enable", "anna")).stdout.split()[2] == "enabled"
    listed = (await run("users", "list")).stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["anna", "bert@example.com"]
    assert ("args hidden" in listed, "without a password" in listed, secret in listed) == (True, True, False)
    for arguments, said in (
        (("add", "anna"), f"{secret}\n"),
        (("add", "short"), "secret\n"),
        (("add", "-x; drop"), f"{secret}\n"),
        (("disable", "nobody"), None),
    ):
        assert (await run("users", *arguments, said=said)).exit_code != 0, arguments
