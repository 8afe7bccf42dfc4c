"""The API's root: `create_app()` puts the routes, the errors and the resources together."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import structlog
from fastapi import FastAPI

import jobs
from service import heap, logs
from service.api import enqueue, events, health, kinds, offline_docs, replay, tickets
from service.api import jobs as job_routes
from service.api.job_events import ProgressEvent, StateEvent
from service.api.readiness import Checks
from service.api.schemas import Requests, components_of
from service.api.watchtower import Watchtower
from service.auth import KeyRing
from service.clocks import Clocks
from service.dashboard import home
from service.durability import Durability
from service.features import FEATURES
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources, open_resources
from service.settings import Settings, describe_unknown
from service.web import problems
from service.web.compression import Compression
from service.web.direct import DirectApi
from service.web.door import Door
from service.web.etags import ETags
from service.web.methods import HeadAsGet
from service.web.room import Room
from service.web.stopping import on_stop_signal

log = structlog.get_logger(__name__)

# Callers are answered within 4 s. A statement that takes longer is given up soon after: else those behind it would wait
# for a connection that died in silence.
_STATEMENT_LIMIT_S = 5
_DESCRIPTION = """
Enqueue jobs, look them up by id, cancel and replay them. **202** means that a job is recorded and will run,
whatever happens to any process. Errors are `application/problem+json` (RFC 9457). Any request may also be refused
before it is looked at, with 400, 408, 414, 431 or 503.
"""


def create_app(settings: Settings | None = None) -> DirectApi:
    """Make the ASGI app. Raises `jobs.CatalogueError` when a kind cannot be used."""
    settings = settings or Settings()
    logs.configure(settings.log_level, settings.log_format)
    for sentence in describe_unknown(os.environ):
        log.warning("setting_unknown", reason=sentence)
    catalogue = jobs.load(settings.jobs)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources(
            settings, catalogue, features=FEATURES, statement_limit_s=_STATEMENT_LIMIT_S
        ) as resources:
            app.state.resources = resources
            app.state.lifecycle = Lifecycle(
                resources.ledger,
                resources.queue,
                catalogue,
                writer=resources.process_id,
                check_queue=resources.check_queue,
            )
            app.state.watchtower = Watchtower(resources.ledger)
            app.state.readiness = Checks(resources)
            clocks = Clocks(resources.ledger.database, resources.queue.redis)
            await clocks.agree_soon()
            checking = asyncio.create_task(_check_servers(resources, app.state.readiness), name="check-settings")
            keeping = asyncio.create_task(clocks.keep(), name="clocks")
            on_stop_signal(app.state.watchtower.dismiss)
            with heap.gc_frozen():
                yield
            await app.state.watchtower.close()
            await app.state.readiness.close()
            keeping.cancel()
            # The check ends by itself: cancelled, it would leave reads behind, and these wait for ever for a connection
            # that is closed under them.
            await asyncio.wait([keeping, checking])

    app = DirectApi(
        direct=enqueue.DIRECT,
        door=Door.of(settings),
        origins=settings.cors_origins,
        prefix=settings.root_path,
        title="Postlude",
        version=version("postlude"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.requests = Requests(catalogue)
    app.state.key_ring = KeyRing(settings.api_keys)
    app.state.keys_under_way = set()
    app.state.room = Room()
    problems.install(app)
    for layer in (ETags, Compression, HeadAsGet):  # the last one is outermost
        app.add_middleware(layer)
    offline_docs.install(app)
    for module in (enqueue, job_routes, events, tickets, replay, kinds, health, home):
        app.include_router(module.router)
    for feature in FEATURES:
        for router in feature.routers:
            app.include_router(router)
    _describe_bodies(app)
    return app


async def _check_servers(resources: Resources, readiness: Checks) -> None:
    """Say at the start what is missing or may break promises; beside it, since neither server needs to answer."""
    ledger = (await readiness.check())["ledger"]
    if ledger != "ok":
        log.warning("ledger_not_ready", reason=ledger)
    await Durability(resources.ledger.database, resources.queue.redis, resources.settings.queues).check()


def _describe_bodies(app: FastAPI) -> None:
    """Add the bodies that routes parse themselves to OpenAPI's components."""
    make_schema = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = make_schema()
            requests: Requests = app.state.requests
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            components.update(requests.components, **components_of(StateEvent, ProgressEvent))
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema
