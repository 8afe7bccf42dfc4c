"""The stats feature: the counters that `update_stats` fills, read at `GET /v1/stats`."""

from typing import TYPE_CHECKING

from service.feature import Feature
from service.stats.capability import open_counters
from service.stats.purge import PURGE
from service.stats.tables import counted_jobs, counters

if TYPE_CHECKING:
    from fastapi import APIRouter


def _router() -> "APIRouter":
    from service.stats.routes import router

    return router


FEATURE = Feature("stats", tables=(counters, counted_jobs), router=_router, purge=PURGE, capability=open_counters)
