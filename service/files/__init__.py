"""The files feature: what callers upload and jobs make, in a folder or a bucket."""

from typing import TYPE_CHECKING

from service.feature import DirectCalls, Feature, Pages
from service.file_tables import file_uses, files
from service.files.capability import open_files
from service.files.keeping import open_keeping
from service.files.purge import PURGE

if TYPE_CHECKING:
    from fastapi import APIRouter


def _router() -> "APIRouter":
    from service.files.routes import router

    return router


def _direct() -> DirectCalls:
    from service.files.uploading import upload

    return {("POST", "/v1/files"): upload}


def _pages() -> "APIRouter":
    from service.files.pages import router

    return router


FEATURE = Feature(
    "files",
    tables=(files, file_uses),
    router=_router,
    direct=_direct,
    pages=Pages(_pages, title="Files", path="/files"),
    purge=PURGE,
    capability=open_files,
    chores=open_keeping,
)
