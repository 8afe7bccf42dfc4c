"""What every route and page may use: opened when the API starts, and closed when it stops."""

from dataclasses import dataclass, field

from fastapi import Request

from service.auth import KeyRing
from service.lanes.lanes import Lanes
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources
from service.web.room import Room


@dataclass(frozen=True)
class WebState:
    """`app.state.api`, as far as features need to know it."""

    resources: Resources
    lifecycle: Lifecycle
    lanes: Lanes
    key_ring: KeyRing
    room: Room = field(default_factory=Room, kw_only=True)


def state_of(request: Request) -> WebState:
    """Return the state of the app that the request is for."""
    state: WebState = request.app.state.api
    return state
