"""`postlude users`: who signs in on the pages. Works on the ledger itself, so that the first user can be made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from service.command_line import on_the_ledger, operator_on
from service.commands import text

if TYPE_CHECKING:
    from service.access.reads import User
    from service.access.users import Users
    from service.ledger.database import Database

_ROLES = click.Choice(("viewer", "operator", "admin"))
_COLUMNS = ("NAME", "ROLE", "STATE", "ARGS", "SEEN")
_NAME = click.argument("name")


@click.group()
def users() -> None:
    """Add, list and change the users who sign in on the pages.

    A viewer only looks, an operator also acts and enqueues, an admin also handles keys and users. From the first user
    on, everybody has to sign in.
    """


@users.command()
@_NAME
@click.option("--role", type=_ROLES, default="viewer", show_default=True)
@click.option("--hide-args", is_flag=True, help="Hide args, results and log lines.")
@click.option("--without-password", is_flag=True, help="For a sign-in through another service (POSTLUDE_OIDC_ISSUER).")
def add(name: str, role: str, hide_args: bool, without_password: bool) -> None:
    """Add a user. Prompts for the password, or reads it as a line from stdin."""
    from service.access.principal import Role

    password = None if without_password else _password()
    _do("create", name, lambda users: users.add(name, Role(role), password=password, sees_args=not hide_args))


@users.command("list")
def list_users() -> None:
    """List all users."""

    async def read(database: Database) -> Any:
        return await _users(database).list()

    shown = [tuple(map(text.one_line, _columns(user))) for user in on_the_ledger(read)]
    if not shown:
        click.echo("no users", err=True)
    for line in text.aligned(_COLUMNS, shown, heading=bool(shown), width=None):
        click.echo(line)


@users.command()
@_NAME
def password(name: str) -> None:
    """Change a password; prompts for it, or reads it as a line from stdin. Ends all sessions of the user."""
    on_the_ledger(lambda database: _users(database).find(name))  # before anybody types a password
    new = _password()
    _do("set_password", name, lambda users: users.set_password(name, new))


@users.command()
@_NAME
@click.argument("role", type=_ROLES)
def role(name: str, role: str) -> None:
    """Change what a user may do. It takes effect within two seconds."""
    from service.access.principal import Role

    _do("set_role", name, lambda users: users.set_role(name, Role(role)))


@users.command()
@_NAME
def disable(name: str) -> None:
    """Disable a user, who can no longer sign in, and end all their sessions."""
    _do("disable", name, lambda users: users.disable(name))


@users.command()
@_NAME
def enable(name: str) -> None:
    """Let a disabled user sign in again."""
    _do("enable", name, lambda users: users.enable(name))


def _do(action: str, name: str, change: Callable[[Users], Coroutine[Any, Any, User]]) -> None:
    async def done(database: Database) -> User:
        async with operator_on(database).action(action, "user", name) as entry:
            user = await change(_users(database))
            entry.after = {"role": user.role, "sees_args": user.sees_args, "is_disabled": user.disabled_at is not None}
        return user

    click.echo("  ".join(_columns(on_the_ledger(done))))


def _users(database: Database) -> Users:
    from service.access.passwords import Passwords
    from service.access.users import Users

    return Users(database, Passwords())


def _password() -> str:
    if sys.stdin.isatty():
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    return sys.stdin.readline().rstrip("\n")


def _columns(user: User) -> list[str]:
    state = "disabled" if user.disabled_at else "without a password" if user.password_hash is None else "enabled"
    seen = f"seen {user.last_seen_at:%Y-%m-%d %H:%M}" if user.last_seen_at else "never signed in"
    return [user.name, user.role, state, "sees args" if user.sees_args else "args hidden", seen]
