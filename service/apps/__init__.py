"""The apps feature: who may be called back, registered at `/v1/apps`, and the way there for `call_app`."""

from typing import TYPE_CHECKING

from service.apps.capability import open_apps
from service.apps.tables import apps
from service.feature import Feature

if TYPE_CHECKING:
    from fastapi import APIRouter


def _router() -> "APIRouter":
    from service.apps.routes import router

    return router


FEATURE = Feature("apps", tables=(apps,), router=_router, capability=open_apps)
