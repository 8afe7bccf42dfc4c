"""The API's root: `create_app()` puts the routes, the layers around them and the errors together."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog
from fastapi import FastAPI

import jobs
from jobs import Catalogue
from jobs.kit.hidden import hidden_by_ours
from service import heap, logs
from service.api import (
    audit,
    failures,
    flows,
    health,
    keys,
    kinds,
    lanes,
    metrics,
    offline_docs,
    openapi,
    operations,
    queues,
    schedules,
    workers,
)
from service.api.jobs import actions, bulk_replay, changing, enqueue, events, facts, listing, lookup, tickets
from service.api.state import open_api_state
from service.dashboard import page_errors
from service.dashboard import routes as dashboard
from service.dashboard.shell import VERSION, page_of
from service.dashboard.state import DashboardState
from service.feature import DirectCalls
from service.features import FEATURES
from service.hooks import Hooks
from service.requests.requests import Requests
from service.requests.schedule_requests import ScheduleRequests
from service.settings import Settings, describe_unknown
from service.web import layers, problems
from service.web.stopping import on_stop_signal

log = structlog.get_logger(__name__)

_DESCRIPTION = """
Enqueue jobs, look them up by id, cancel and replay them. **202** means that a job is recorded and will run,
whatever happens to any process. Errors are `application/problem+json` (RFC 9457). Any request may also be refused
before it is looked at, with 400, 408, 414, 431 or 503.
"""
_JOBS = (enqueue, listing, lookup, actions, changing, events, facts, tickets, bulk_replay)
_OPERATORS = (audit, failures, keys, operations, workers)
_OTHERS = (flows, kinds, queues, lanes, schedules, health, metrics, offline_docs)
_ROUTED = (*_JOBS, *_OPERATORS, *_OTHERS)


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
        version=VERSION,
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
    page_errors.install(app)
    hooks = Hooks.joined(feature.hooks for feature in FEATURES)
    layers.install(app, settings, hooks, direct=direct_calls())
    openapi.install(app, requests, schedule_requests)
    for module in _ROUTED:
        app.include_router(module.router)
    for feature in FEATURES:
        if feature.router is not None:
            app.include_router(feature.router())
    app.include_router(dashboard.router)  # last: what is behind it is looked for among all pages first
    app.state.page_of = page_of
    return app


def direct_calls() -> DirectCalls:
    """Return the calls that are answered past FastAPI's routes."""
    of_features = [feature.direct() for feature in FEATURES if feature.direct is not None]
    return {**enqueue.DIRECT, **{call: answer for calls in of_features for call, answer in calls.items()}}


@asynccontextmanager
async def _serve(
    settings: Settings, catalogue: Catalogue, requests: Requests, schedule_requests: ScheduleRequests, app: FastAPI
) -> AsyncIterator[None]:
    """Hold the API's state from its start to its stop."""
    async with open_api_state(settings, catalogue, requests, schedule_requests, FEATURES) as state:
        app.state.api = state
        app.state.dashboard = shown = DashboardState.of(state)
        on_stop_signal(state.watchtower.dismiss)
        on_stop_signal(shown.pulse.dismiss)
        try:
            with heap.gc_frozen():
                yield
        finally:
            await shown.close()
            await shown.troubles.close()
