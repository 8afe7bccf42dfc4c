"""The stats feature: the counters that `update_stats` fills, read below `/v1/stats`."""

from typing import TYPE_CHECKING

from service.feature import Feature
from service.stats.capability import open_counters
from service.stats.purge import PURGE
from service.stats.tables import metadata

if TYPE_CHECKING:
    from fastapi import APIRouter


def _router() -> "APIRouter":
    from service.stats.routes import router

    return router


FEATURE = Feature(
    "stats", tables=tuple(metadata.tables.values()), router=_router, purge=PURGE, capability=open_counters
)
