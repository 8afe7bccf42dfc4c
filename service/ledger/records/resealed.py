"""Secrets are sealed again, with the first key, which seals today."""

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from service.errors import SecretUnreadable
from service.ledger.sealed import SealedColumn, vault_of


class Resealed(NamedTuple):
    """How many secrets were sealed again, and how many could not be, because no known key opens them."""

    done: int = 0
    unreadable: int = 0


def record_resealed(connection: Connection, of: SealedColumn, names: Collection[Any]) -> Resealed:
    """Seal the secrets of rows again, by the first column of their keys. Safe to repeat, and while everything goes on.

    The rows are locked in the order of their keys, so other changes come before or after.
    """
    vault = vault_of(connection)
    first, *_ = of.key
    found = select(*of.key, of.column).where(first.in_(names)).order_by(*of.key).with_for_update()
    changed, unreadable = [], 0
    for *key, value in connection.execute(found).all():
        kept = None if value is None else of.kept_in(value)
        if kept is None or vault.is_current(kept):
            continue
        try:
            secret = of.open(vault, kept, *key)
        except SecretUnreadable:
            unreadable += 1
            continue
        sealed = of.with_kept(value, of.seal(vault, secret, *key))
        changed.append({f"key_{number}": part for number, part in enumerate(key)} | {"sealed": sealed})
    if changed:
        is_it = [column == bindparam(f"key_{number}") for number, column in enumerate(of.key)]
        connection.execute(update(of.table).where(*is_it).values({of.name: bindparam("sealed")}), changed)
    return Resealed(len(changed), unreadable)
