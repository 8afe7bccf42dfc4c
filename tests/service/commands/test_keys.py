"""`postlude keys` and `postlude users`, on the ledger itself."""

import asyncio
import re

import pytest
from click.testing import CliRunner, Result

from service.cli import postlude
from service.own_command import own_command
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
    none = await run("users", "list")
    assert (none.stdout, none.stderr) == ("", "no users\n")
    added = await run("users", "add", "anna", "--role", "operator", said=f"{secret}\n")
    assert (added.exit_code, added.stdout.split()[:3]) == (0, ["anna", "operator", "enabled"])
    await run("users", "add", "bert@example.com", "--without-password", "--hide-args")
    assert (await run("users", "role", "anna", "admin")).stdout.split()[1] == "admin"
    assert (await run("users", "password", "anna", said=f"{secret}!\n")).exit_code == 0
    assert (await run("users", "disable", "anna")).stdout.split()[2] == "disabled"
    assert (await run("users", "enable", "anna")).stdout.split()[2] == "enabled"
    listed = (await run("users", "list")).stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["NAME", "anna", "bert@example.com"]
    assert ("args hidden" in listed, "without a password" in listed, secret in listed) == (True, True, False)
    for arguments, said in (
        (("add", "anna"), f"{secret}\n"),
        (("add", "short"), "secret\n"),
        (("add", "-x; drop"), f"{secret}\n"),
        (("disable", "nobody"), None),
    ):
        assert (await run("users", *arguments, said=said)).exit_code != 0, arguments
    unknown = await run("users", "password", "nobody", said="short\n")
    assert str(unknown.exception) == "There is no user 'nobody'."


@on_sqlite
async def test_the_first_key_and_the_last_admin_are_told_with_what_they_mean_for_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def id_and_notes(made: Result) -> tuple[str, list[str]]:
        told, *notes = made.stderr.splitlines()
        return told.split()[0], notes

    makes_one = f"`{own_command()} keys create admin --scope admin` makes one"
    closes = "From now on, every caller needs a key, and the pages ask people to sign in."
    assert (await run("keys", "list")).stderr == "no keys\n"
    first, notes = id_and_notes(await run("keys", "create", "shop", "--scope", "enqueue", "--kind", "a"))
    assert notes == [closes, f"This key opens no page and cannot make other keys: {makes_one} that can."]
    second, notes = id_and_notes(await run("keys", "create", "board", "--scope", "read"))
    assert notes == [f"This key cannot make other keys: {makes_one} that can."]
    admin, notes = id_and_notes(await run("keys", "create", "admin", "--scope", "admin"))
    assert notes == []
    assert (await run("keys", "list")).stdout.splitlines()[0].split()[:3] == ["ID", "NAME", "SCOPES"]
    assert (await run("keys", "revoke", first)).stderr == ""
    gone = await run("keys", "revoke", admin)
    assert gone.stderr == f"That was the last admin, and callers still need a key: {makes_one} that can make others.\n"
    await run("keys", "revoke", second)
    none = await run("keys", "list")
    assert none.stderr.splitlines() == [
        "no valid keys: --revoked shows the revoked and expired ones",
        f"Callers still need a key: {makes_one}.",
    ]
    monkeypatch.setenv("POSTLUDE_API_KEYS", "a" * 24)
    assert id_and_notes(await run("keys", "create", "shop", "--scope", "enqueue"))[1] == []
