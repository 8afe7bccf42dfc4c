"""Live pages: what changes, as server-sent events."""

from collections.abc import AsyncIterator

from fastapi import Request, Response
from fastapi.sse import EventSourceResponse

from service.dashboard.page_route import page_router
from service.dashboard.pulse import Pulse
from service.dashboard.state import dashboard_state_of
from service.web.methods import asked
from service.web.places import owner_of

router = page_router()

_UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/stream")
async def stream(request: Request) -> Response:
    """Follow changes: `tick` with the counted events, `away` while the ledger does not answer."""
    if asked(request) == "HEAD":
        return Response(headers=_UNBUFFERED, media_type=EventSourceResponse.media_type)
    pulse, owner = dashboard_state_of(request).pulse, owner_of(request)
    pulse.places.check(owner)
    return EventSourceResponse(_ticks(pulse, owner), headers=_UNBUFFERED)


async def _ticks(pulse: Pulse, owner: str) -> AsyncIterator[bytes]:
    if not pulse.places.has_room(owner):  # others took it after the check
        return
    with pulse.viewing(owner) as viewer:
        while not pulse.closing:
            tick = await viewer.next()
            if tick is None:
                return
            yield tick
