"""What lanes are told about claimed ids that the ledger did not start."""

from collections.abc import Collection, Mapping
from datetime import datetime

from service.lane_rules import in_order
from service.ledger.reads.lanes import strict_head
from service.ledger.reads.standings import Standing
from service.ledger.states import WAITING, State
from service.queue import Claimed, Release
from service.resources import Resources


def lanes_of(standing: Standing) -> tuple[str, ...]:
    return in_order(standing.lane, standing.kind_lane)


class LaneRefusals:
    """Lets refused ids leave their lanes, and turns strict lanes to the jobs that come first."""

    def __init__(self, resources: Resources) -> None:
        self._ledger = resources.ledger
        self._lanes = resources.queue.lanes

    async def turn_to_heads(self, refused: Mapping[str, Claimed]) -> set[str]:
        """Make each strict lane that offered a refused id wait for its first live job; return the ids behind one."""
        lanes = {lane for claimed in refused.values() for lane in claimed.strict}
        heads: dict[str, str] = {}
        for lane in lanes:
            async with self._ledger.read() as connection:
                head = await strict_head(connection, lane)
            if head is not None:
                heads[lane] = head.member
                await self._lanes.set_head(lane, head.member, head.run_at)
        return {
            member
            for member, claimed in refused.items()
            if any(heads.get(lane, member) != member for lane in claimed.strict)
        }

    async def let_go(
        self, refused: Mapping[str, Claimed], standings: Mapping[str, Standing], behind: Collection[str], claim_ms: int
    ) -> None:
        """Remove ids that are not put back from their lanes' running sets. A running job stays in its own lanes.

        Strict lanes go on waiting for jobs that now wait elsewhere, unless these are `behind` others.
        """
        heads = {member: standing for member, standing in standings.items() if member not in behind}
        releases = [
            Release(member, (lane,), head_due=_goes_on(heads.get(member), lane), claim_ms=claim_ms)
            for member, claimed in refused.items()
            for lane in claimed.lanes
            if not _runs_in(standings.get(member), lane)
        ]
        if releases:
            await self._lanes.release(releases)


def _runs_in(standing: Standing | None, lane: str) -> bool:
    return standing is not None and standing.state is State.RUNNING and lane in lanes_of(standing)


def _goes_on(standing: Standing | None, lane: str) -> datetime | None:
    """Return when a job in this lane is due; None if it has left the lane or has ended."""
    waits = standing is not None and standing.state in WAITING and lane in lanes_of(standing)
    return standing.run_at if standing is not None and waits else None
