"""The idempotency key that a job was sent with."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.tables import idempotency_keys


async def key_made_with(connection: AsyncConnection, made: Collection[str], expires_at: datetime) -> str | None:
    """Return the key under which a job or a flow was made; None if it had none, or the key has expired.

    Keys are searched in the order in which they expire: no index leads from a job to its key.
    """
    found = select(idempotency_keys.c.key).where(
        idempotency_keys.c.expires_at == expires_at, idempotency_keys.c.job_id.in_(made)
    )
    key: str | None = (await connection.execute(found.limit(1))).scalar_one_or_none()
    return key
