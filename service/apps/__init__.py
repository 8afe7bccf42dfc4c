"""The apps feature: who may be called back, registered at `/v1/apps`, and the way there for `call_app`."""

from typing import TYPE_CHECKING

from service.apps.capability import open_apps
from service.apps.tables import SECRET, apps
from service.feature import Feature, Pages

if TYPE_CHECKING:
    from fastapi import APIRouter


def _router() -> "APIRouter":
    from service.apps.routes import router

    return router


def _pages() -> "APIRouter":
    from service.apps.pages import router

    return router


FEATURE = Feature(
    "apps",
    tables=(apps,),
    sealed=(SECRET,),
    router=_router,
    pages=Pages(_pages, title="Apps", path="/apps"),
    capability=open_apps,
)
