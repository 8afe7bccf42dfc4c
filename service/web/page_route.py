"""The routers of pages: guarded, unlisted in the API's description, and with errors that are pages too."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

from service.access.principal import Scope
from service.web.guards import page_guards


class PageRoute(APIRoute):
    """A route whose errors are shown in the shell; see `page_errors`."""


def page_router(scope: Scope = Scope.READ) -> APIRouter:
    """Make a router for pages, or for actions on them, that ask for `scope`."""
    return APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=page_guards(scope))
