"""The API's root: `create_app()` puts the routes, the layers around them and the errors together."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

import structlog
from fastapi import FastAPI

import jobs
from jobs import Catalogue
from jobs.kit.hidden import hidden_by_ours
from service import heap, logs
from service.api import flows, health, kinds, lanes, metrics, offline_docs, openapi, operations, queues, schedules
from service.api.jobs import actions, bulk_replay, changing, enqueue, events, listing, lookup, tickets
from service.api.schedule_requests import ScheduleRequests
from service.api.state import open_api_state
from service.dashboard import home
from service.features import FEATURES
from service.hooks import Hooks
from service.requests.requests import Requests
from service.settings import Settings, describe_unknown
from service.web import layers, problems
from service.web.stopping import on_stop_signal

log = structlog.get_logger(__name__)

_DESCRIPTION = """
Enqueue jobs, look them up by id, cancel and replay them. **202** means that a job is recorded and will run,
whatever happens to any process. Errors are `application/problem+json` (RFC 9457). Any request may also be refused
before it is looked at, with 400, 408, 414, 431 or 503.
"""
_JOBS = (enqueue, listing, lookup, actions, changing, events, tickets, bulk_replay)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the ASGI app. Raises `jobs.CatalogueError` when a kind cannot be used."""
    settings = settings or Settings()
    logs.configure(settings.log_level, settings.log_format)
    for sentence in describe_unknown(os.environ):
        log.warning("setting_unknown", reason=sentence)
    for sentence in hidden_by_ours() if settings.jobs else ():
        log.warning("package_hidden", reason=sentence)
    catalogue = jobs.load(settings.jobs)
    requests, schedule_requests = Requests(catalogue), ScheduleRequests(catalogue)
    app = FastAPI(
        title="Postlude",
        version=version("postlude"),
        description=_DESCRIPTION,
        lifespan=partial(_serve, settings, catalogue, requests, schedule_requests),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # FastAPI's own asks, for each request, whether it is configured: 4 us. Tracing has its place in hooks.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        generate_unique_id_function=lambda route: route.name,
    )
    problems.install(app)
    hooks = Hooks.joined(feature.hooks for feature in FEATURES)
    layers.install(app, settings, hooks, direct=enqueue.DIRECT)
    openapi.install(app, requests, schedule_requests)
    for module in (*_JOBS, flows, kinds, queues, lanes, schedules, operations, health, metrics, home, offline_docs):
        app.include_router(module.router)
    for feature in FEATURES:
        for router in feature.routers:
            app.include_router(router)
    return app


@asynccontextmanager
async def _serve(
    settings: Settings, catalogue: Catalogue, requests: Requests, schedule_requests: ScheduleRequests, app: FastAPI
) -> AsyncIterator[None]:
    """Hold the API's state from its start to its stop."""
    async with open_api_state(settings, catalogue, requests, schedule_requests, FEATURES) as state:
        app.state.api = state
        on_stop_signal(state.watchtower.dismiss)
        with heap.gc_frozen():
            yield
