"""How commands work on the ledger itself, without the API: anyone who may read the settings may do so."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from service.ledger.database import Database
    from service.trail import Operator

T = TypeVar("T")


@dataclass(frozen=True)
class CommandLine:
    """The person who runs a command here, as the trail names them."""

    name: str
    id: str = "command"


def operator_on(database: Database) -> Operator:
    """Return who runs the command, as an operator whose actions are recorded."""
    from service.trail import Operator, Trail

    return Operator(Trail(database), CommandLine(f"{os.environ.get('USER') or os.getuid()} on {socket.gethostname()}"))


def on_the_ledger(do: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """Do something with the ledger's database."""
    from service import logs
    from service.ledger.database import Database
    from service.ledger_place import refuse_missing_ledger
    from service.settings import Settings, describe_unknown

    async def done() -> T:
        logs.configure("WARNING", "console")  # to stderr: a command's stdout may be a key
        database = Database.open(settings.sqlalchemy_url)
        try:
            return await do(database)
        finally:
            await database.close()

    settings = Settings()
    for sentence in describe_unknown(os.environ):
        click.echo(f"warning: {sentence}", err=True)
    refuse_missing_ledger(settings)
    return asyncio.run(done())
