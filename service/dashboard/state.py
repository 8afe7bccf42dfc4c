"""What the pages hold as long as the API runs: what all viewers share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request

from service.dashboard.overview.reading import Standing, read_standing
from service.dashboard.pulse import Pulse
from service.insight.troubles import Troubles
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.ledger.reads.estimates import Count, count_by_state
from service.ledger.reads.operations import live_operations
from service.ledger.states import State
from service.shared_reads import SharedReads
from service.web.state import WebState

_FRESH_FOR_S = 1.0
# Finding when all schedules are next due takes a while if there are thousands.
_TICKS_FRESH_FOR_S = 10.0
_TICKS_SHOWN = 3
_MOST_UNDER_WAY = 99

Ticks = Sequence[tuple[datetime, str]]


@dataclass(frozen=True, slots=True)
class DashboardState:
    """The reads are shared: however many people look at a page, it is read once a second."""

    pulse: Pulse
    troubles: Troubles
    standing: SharedReads[Standing | None]
    ticks: SharedReads[Ticks]
    states: SharedReads[Mapping[State, Count]]
    under_way: SharedReads[int]

    @classmethod
    def of(cls, state: WebState) -> "DashboardState":
        resources = state.resources
        pulse = Pulse(resources.ledger)

        async def standing(_: Sequence[str]) -> Mapping[str, Standing | None]:
            return {"": await in_time(read_standing(resources.ledger, state.lanes, pulse))}

        async def ticks(_: Sequence[str]) -> Mapping[str, Ticks]:
            return {"": await in_time(state.lifecycle.schedules.upcoming(_TICKS_SHOWN))}

        async def states(_: Sequence[str]) -> Mapping[str, Mapping[State, Count]]:
            return {"": await in_time(_count_states(resources.ledger))}

        async def under_way(_: Sequence[str]) -> Mapping[str, int]:
            return {"": await in_time(_count_under_way(resources.ledger))}

        return cls(
            pulse=pulse,
            troubles=Troubles(resources),
            standing=SharedReads(standing, fresh_for_s=_FRESH_FOR_S),
            ticks=SharedReads(ticks, fresh_for_s=_TICKS_FRESH_FOR_S),
            states=SharedReads(states, fresh_for_s=_FRESH_FOR_S),
            under_way=SharedReads(under_way, fresh_for_s=_FRESH_FOR_S),
        )

    async def close(self) -> None:
        await self.pulse.close()
        await self.troubles.close()


async def _count_states(ledger: Ledger) -> Mapping[State, Count]:
    async with ledger.read() as connection:
        return await count_by_state(connection)


async def _count_under_way(ledger: Ledger) -> int:
    async with ledger.read() as connection:
        return len(await live_operations(connection, _MOST_UNDER_WAY))


def dashboard_state_of(request: Request) -> DashboardState:
    """Return the state of the app that the request is for."""
    state: DashboardState = request.app.state.dashboard
    return state
