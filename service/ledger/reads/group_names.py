"""The facts about groups of failures, looked up by fingerprint."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.figure_tables import failure_groups


class GroupName(NamedTuple):
    kind: str
    error_type: str


async def group_names(connection: AsyncConnection, fingerprints: Collection[str]) -> Mapping[str, GroupName]:
    """Return what is known about these groups, by fingerprint."""
    if not fingerprints:
        return {}
    columns = (failure_groups.c.fingerprint, failure_groups.c.kind, failure_groups.c.error_type)
    rows = await connection.execute(select(*columns).where(failure_groups.c.fingerprint.in_(fingerprints)))
    return {fingerprint: GroupName(kind, error_type) for fingerprint, kind, error_type in rows}
