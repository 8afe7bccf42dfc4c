"""What the API needs for its whole life, opened and closed in one place."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

import structlog
from fastapi import Depends, Request

from jobs import Catalogue
from service.access.access import Access
from service.access.rates import Rates
from service.access.sessions import Sessions
from service.access.sign_in import SignIns
from service.alerts.alerting import LOOK_EVERY_S, Alerting, open_alerting
from service.api.jobs.watchtower import Watchtower
from service.api.readiness import Checks
from service.clocks import Clocks
from service.durability import Durability
from service.feature import Feature
from service.lanes.lanes import Lanes
from service.lifecycle.lifecycle import Lifecycle
from service.requests.requests import Requests
from service.requests.schedule_requests import ScheduleRequests
from service.resources import Resources, open_resources
from service.settings import Settings
from service.trail import Trail
from service.web.state import WebState
from service.web.write_deadline import WriteDeadline

log = structlog.get_logger(__name__)

# Callers get an answer within 4 s. A slower statement is abandoned soon afterwards: on a connection that died in
# silence, all later statements would wait too.
_STATEMENT_LIMIT_S = 5
# A live page polls at most once a second, and people have several open.
_SESSION_RATE_LIMIT = "1200/min"


@dataclass(frozen=True)
class ApiState(WebState):
    """The state of the whole API; `WebState` is the part that features may use."""

    watchtower: Watchtower
    readiness: Checks
    write_deadline: WriteDeadline = field(default_factory=WriteDeadline, kw_only=True)


def api_state_of(request: Request) -> ApiState:
    """Return the state of the app that the request is for."""
    state: ApiState = request.app.state.api
    return state


async def _watchtower(request: Request) -> Watchtower:
    return api_state_of(request).watchtower


WatchtowerDep = Annotated[Watchtower, Depends(_watchtower)]


@asynccontextmanager
async def open_api_state(
    settings: Settings,
    catalogue: Catalogue,
    requests: Requests,
    schedule_requests: ScheduleRequests,
    features: Sequence[Feature] = (),
) -> AsyncIterator[ApiState]:
    """Open the state; neither the ledger nor Redis needs to answer yet."""
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(
            open_resources(settings, catalogue, features=features, statement_limit_s=_STATEMENT_LIMIT_S)
        )
        access = Access(settings, resources.ledger.database)
        sessions = Sessions(resources.ledger.database, access)
        state = ApiState(
            resources=resources,
            lifecycle=_lifecycle(resources),
            lanes=Lanes(resources.ledger, resources.queue),
            access=access,
            sessions=sessions,
            sign_ins=SignIns(access, sessions, settings),
            rates=None if settings.rate_limit is None else Rates(settings.rate_limit),
            session_rates=None if settings.rate_limit is None else Rates(_SESSION_RATE_LIMIT),
            trail=Trail(resources.ledger.database),
            requests=requests,
            watchtower=Watchtower(resources.ledger),
            readiness=Checks(resources),
            schedule_requests=schedule_requests,
        )
        stack.push_async_callback(state.lanes.outlook.close)
        state.lanes.outlook.glance()  # so that the answers for the first jobs know what is paused
        await stack.enter_async_context(_clocks_kept(resources))
        await stack.enter_async_context(_access_kept(access, state.sessions))
        await stack.enter_async_context(_servers_checked(resources, state.readiness))
        await stack.enter_async_context(_alerts_told(resources, state.lifecycle))
        stack.push_async_callback(state.readiness.close)
        stack.push_async_callback(state.watchtower.close)
        yield state


def _lifecycle(resources: Resources) -> Lifecycle:
    return Lifecycle(
        resources.ledger,
        resources.queue,
        resources.catalogue,
        writer=resources.process_id,
        hooks=resources.hooks,
        check_queue=resources.check_queue,
    )


@asynccontextmanager
async def _clocks_kept(resources: Resources) -> AsyncIterator[None]:
    clocks = Clocks(resources.ledger.database, resources.queue.redis)
    await clocks.agree_soon()
    keeping = asyncio.create_task(clocks.keep(), name="clocks")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


@asynccontextmanager
async def _access_kept(access: Access, sessions: Sessions) -> AsyncIterator[None]:
    keeping = asyncio.create_task(access.keep(), name="access")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await access.close()
        await sessions.close()


@asynccontextmanager
async def _alerts_told(resources: Resources, lifecycle: Lifecycle) -> AsyncIterator[None]:
    """Report troubles for as long as no worker can."""
    async with open_alerting(resources, lifecycle) as alerting:
        keeping = asyncio.create_task(_tell_alerts(alerting), name="alerts") if alerting else None
        try:
            yield
        finally:
            if keeping is not None:
                keeping.cancel()
                await asyncio.wait([keeping])


async def _tell_alerts(alerting: Alerting) -> None:
    while True:
        try:
            await alerting.look_where_no_worker_does()
        except Exception:
            log.exception("alerts_not_told")
        await asyncio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def _servers_checked(resources: Resources, readiness: Checks) -> AsyncIterator[None]:
    """Log what is missing or may break a promise, without holding up the start: neither server needs to answer."""
    checking = asyncio.create_task(_check_servers(resources, readiness), name="check-settings")
    try:
        yield
    finally:
        # The check ends by itself. Cancelling it would leave reads that wait for ever on closed connections.
        await asyncio.wait([checking])


async def _check_servers(resources: Resources, readiness: Checks) -> None:
    ledger = (await readiness.check())["ledger"]
    if ledger != "ok":
        log.warning("ledger_not_ready", reason=ledger)
    await Durability(resources.ledger.database, resources.queue.redis, resources.settings.queues).check()
