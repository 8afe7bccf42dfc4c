"""The routers of all pages."""

from service.web.page_route import PageRoute, page_router

__all__ = ["PageRoute", "page_router"]
