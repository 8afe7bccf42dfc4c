"""What lanes are told of claimed ids that the ledger did not start."""

from collections.abc import Mapping

from service.lane_rules import in_order
from service.ledger.reads.lanes import strict_head
from service.ledger.reads.standings import Standing
from service.ledger.states import WAITING, State
from service.queue import Claimed, Release
from service.resources import Resources


def lanes_of(standing: Standing) -> tuple[str, ...]:
    return in_order(standing.lane, standing.kind_lane)


class LaneRefusals:
    """Lets refused ids go, and turns strict lanes to the jobs that come first."""

    def __init__(self, resources: Resources) -> None:
        self._ledger = resources.ledger
        self._lanes = resources.queue.lanes

    async def turn_to_heads(self, refused: Mapping[str, Claimed]) -> set[str]:
        """Let each strict lane that offered a refused id wait for its first live job; return the ids behind one."""
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

    async def let_go(self, refused: Mapping[str, Claimed], standings: Mapping[str, Standing], claim_ms: int) -> None:
        """Take ids that are not put back out of their lanes' running sets. A job that runs stays in them."""
        releases = []
        for member, claimed in refused.items():
            standing = standings.get(member)
            if claimed.in_lane and (standing is None or standing.state is not State.RUNNING):
                head_due = standing.run_at if standing is not None and standing.state in WAITING else None
                releases.append(Release(member, claimed.lanes, head_due=head_due, claim_ms=claim_ms))
        if releases:
            await self._lanes.release(releases)
