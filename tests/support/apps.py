"""The API's app, which shares the parts that take up to a second to make and are the same in all tests."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any, TypeVar
from unittest import mock

from fastapi import FastAPI
from starlette.routing import BaseRoute

import service.app
from jobs import Catalogue
from service.api import openapi
from service.features import FEATURES
from service.requests.requests import Requests
from service.requests.schedule_requests import ScheduleRequests
from service.settings import Settings

T = TypeVar("T")
_INSTALL = openapi.install
_routes: dict[object, list[BaseRoute]] = {}
_documents: dict[object, dict[str, Any]] = {}


def made_app(settings: Settings) -> FastAPI:
    """Make an app, as `create_app` does, that shares its routes and the models of its requests with others."""
    shared = _routes.get(FEATURES)
    with (
        mock.patch.object(service.app, "Requests", _once_for_the_same_kinds(Requests)),
        mock.patch.object(service.app, "ScheduleRequests", _once_for_the_same_kinds(ScheduleRequests)),
        mock.patch.object(openapi, "install", _install_openapi),
        # The shared routes have what routers bring. To look through these takes as long as the rest of an app.
        nullcontext(mock.Mock()) if shared is None else mock.patch.object(FastAPI, "include_router") as left_out,
    ):
        app = service.app.create_app(settings)
    # FastAPI analyses a route at an app's first request, and keeps what it found with the route.
    if shared is None:
        _routes[FEATURES] = list(app.router.routes)
    else:
        own = iter(app.router.routes)  # they tell of its kinds
        app.router.routes = [one if hasattr(one, "original_router") else next(own) for one in shared]
        assert next(own, None) is None
        assert left_out.call_count == sum(hasattr(one, "original_router") for one in shared)
    return app


def _install_openapi(app: FastAPI, requests: Requests, schedule_requests: ScheduleRequests) -> None:
    """Let apps share their OpenAPI document if they have the same routes, kinds and address."""
    _INSTALL(app, requests, schedule_requests)
    make = app.openapi

    def openapi() -> dict[str, Any]:
        key = FEATURES, id(requests), str(app.servers)
        if key not in _documents:
            _documents[key] = make()
        app.openapi_schema = _documents[key]
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def routes_of(routes: Iterable[Any]) -> Iterator[Any]:
    """Return the routes of an app, including those of its routers."""
    for one in routes:
        if hasattr(one, "original_router"):
            yield from routes_of(one.original_router.routes)
        elif hasattr(one, "methods"):
            yield one


@cache
def _once_for_the_same_kinds(make: Callable[[Catalogue], T]) -> Callable[[Catalogue], T]:
    made: dict[Sequence[int], tuple[Catalogue, T]] = {}

    def of(catalogue: Catalogue) -> T:
        key = tuple(map(id, catalogue.values()))
        if key not in made:
            made[key] = catalogue, make(catalogue)  # kept, so that no other kind gets the id of one of these
        return made[key][1]

    return of
