"""The routers of pages, as all pages have them."""

from service.web.page_route import PageRoute, page_router

__all__ = ["PageRoute", "page_router"]
