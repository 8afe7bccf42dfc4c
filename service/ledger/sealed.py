"""Which columns hold secrets. Each sealed secret is bound to its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import Column, Connection, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from service.access_tables import cookie_secrets
from service.flow_tables import callbacks
from service.schedule_tables import schedules
from service.tables import jobs
from service.vault import OPEN_VAULT, SEALED, Vault

# The execution option with which an engine carries the vault of its process.
VAULT = "postlude_vault"


def vault_of(connection: Connection | AsyncConnection) -> Vault:
    """Return the vault of a connection's database."""
    if isinstance(connection, AsyncConnection):
        assert connection.sync_connection is not None
        connection = connection.sync_connection
    vault: Vault = connection.get_execution_options().get(VAULT, OPEN_VAULT)
    return vault


@dataclass(frozen=True)
class SealedColumn:
    """A column of secrets. `part` is the member that holds the secret, if the column is a JSON object."""

    table: Table
    name: str
    part: str | None = None

    @property
    def column(self) -> Column[str]:
        column: Column[str] = self.table.c[self.name]
        return column

    @property
    def key(self) -> Sequence[Column[Any]]:
        """The primary key."""
        return list(self.table.primary_key.columns)

    def __str__(self) -> str:
        return f"{self.table.name}.{self.name}"

    def seal(self, vault: Vault, secret: str, *key: object) -> str:
        """Return a secret in the form in which the row with this primary key stores it."""
        return vault.seal(secret, self.table.name, self.name, *map(str, key))

    def open(self, vault: Vault, kept: str, *key: object) -> str:
        """Return the secret. Raises `SecretUnreadable`."""
        return vault.open(kept, self.table.name, self.name, *map(str, key))

    def kept_in(self, value: str) -> str | None:
        """Return the stored secret in a row's value; None if it has none."""
        return value if self.part is None else from_json(value).get(self.part)

    def with_kept(self, value: str, kept: str) -> str:
        """Return a row's value with this stored secret."""
        return kept if self.part is None else to_json(from_json(value) | {self.part: kept}).decode()

    def sealed(self, vault: Vault, value: str, *key: object) -> str:
        """Return a row's value with its secret sealed."""
        if not vault.key_ids or (secret := self.kept_in(value)) is None:
            return value
        return self.with_kept(value, self.seal(vault, secret, *key))

    def opened(self, vault: Vault, value: str, *key: object) -> str:
        """Return a row's value with its secret in clear. Raises `SecretUnreadable`."""
        if self.part is not None and f'"{self.part}":"{SEALED}' not in value:
            return value
        kept = self.kept_in(value)
        return value if kept is None else self.with_kept(value, self.open(vault, kept, *key))


JOB_ARGS = SealedColumn(jobs, "sealed_args")
SCHEDULE_ARGS = SealedColumn(schedules, "sealed_args")
CALLBACK_ARGS = SealedColumn(callbacks, "template", part="sealed_args")
COOKIE_SECRET = SealedColumn(cookie_secrets, "secret")
OF_THE_LEDGER = (JOB_ARGS, SCHEDULE_ARGS, CALLBACK_ARGS, COOKIE_SECRET)
