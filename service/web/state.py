"""What every route and page may use: opened when the API starts, and closed when it stops."""

from dataclasses import dataclass, field

from fastapi import Request

from service.access.access import Access
from service.access.rates import Rates
from service.access.sessions import Sessions
from service.access.sign_in import SignIns
from service.lanes.lanes import Lanes
from service.lifecycle.lifecycle import Lifecycle
from service.requests.requests import Requests
from service.requests.schedule_requests import ScheduleRequests
from service.resources import Resources
from service.trail import Trail
from service.web.room import Room


@dataclass(frozen=True)
class WebState:
    """The part of `app.state.api` that features need to know."""

    resources: Resources
    lifecycle: Lifecycle
    lanes: Lanes
    access: Access
    sessions: Sessions
    sign_ins: SignIns
    requests: Requests
    schedule_requests: ScheduleRequests
    trail: Trail
    rates: Rates | None = field(default=None, kw_only=True)
    session_rates: Rates | None = field(default=None, kw_only=True)
    keys_under_way: set[str] = field(default_factory=set, kw_only=True)
    room: Room = field(default_factory=Room, kw_only=True)


def state_of(request: Request) -> WebState:
    """Return the state of the app that the request is for."""
    state: WebState = request.app.state.api
    return state
