"""The list of lanes: held ones first and in full, the others by how many jobs wait in them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.dashboard.lanes.rows import Held, LaneRow, Stands, held_of, rows_of
from service.lane_rules import is_pattern, matches
from service.lanes.lanes import Lanes
from service.ledger.ledger import Ledger
from service.ledger.reads import lanes as reads

PAGE = 50
# Lanes are sorted by how many jobs wait, so all are counted, as far as one page may.
MOST_LANES = 500
MOST_HELD = 3
_MOST_RULES = 100


@dataclass(frozen=True, slots=True)
class LanesPage:
    """`is_cut` if there are more lanes than are counted.

    `held` are the first lanes that breakers hold, `forced` counts the lanes that somebody holds by hand.
    """

    pattern: str
    with_idle: bool
    number: int
    counts: Mapping[Stands, int]
    forced: int
    total: int
    rows: Sequence[LaneRow]
    held: Sequence[Held]
    rules: Sequence[LaneRow]
    is_cut: bool

    @property
    def first(self) -> int:
        """The number of the first row in the list; 0 if there is none."""
        return (self.number - 1) * PAGE + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return (self.number - 1) * PAGE + len(self.rows)


async def read_lanes(
    ledger: Ledger, lanes: Lanes, *, pattern: str = "", with_idle: bool = False, number: int = 1
) -> LanesPage:
    """Read a page of lanes that match a pattern, or whose keys contain the text; with idle ones if wanted."""
    held_back = (await lanes.outlook.overview()).held_back
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
        found = await reads.lane_keys(connection, now, prefix=_prefix(pattern), after="", limit=MOST_LANES + 1)
    watched = [rule.key for rule in (*held_back.breakers, *held_back.lanes)]
    keys = [key for key in dict.fromkeys([*watched, *found[:MOST_LANES]]) if fits(pattern, key)]
    views = await lanes.views(keys)
    async with ledger.read() as connection:
        rules = await rows_of(connection, [view for view in views if is_pattern(view.key)][:_MOST_RULES], now)
        alone = [LaneRow(view) for view in views if not is_pattern(view.key)]
        shown = sorted((row for row in alone if with_idle or _is_shown(row)), key=_order)
        number = max(1, min(number, -(-len(shown) // PAGE)))
        chosen = [row.view for row in shown[(number - 1) * PAGE : number * PAGE]]
        stopped = [row.view for row in shown if row.stands == "held"][:MOST_HELD]
        return LanesPage(
            pattern=pattern,
            with_idle=with_idle,
            number=number,
            counts=Counter(row.stands for row in alone),
            forced=sum(row.stands == "held" and row.view.breaker.forced is not None for row in alone),
            total=len(shown),
            rows=await rows_of(connection, chosen, now),
            held=[await held_of(connection, row, now) for row in await rows_of(connection, stopped, now)],
            rules=rules,
            is_cut=len(found) > MOST_LANES,
        )


def fits(pattern: str, key: str) -> bool:
    """Whether a lane's key matches the search: a pattern, or a text that it contains."""
    return matches(pattern if is_pattern(pattern) else f"*{pattern}*", key) if pattern else True


def _prefix(pattern: str) -> str:
    """Return the prefix of all keys that match."""
    return pattern.partition("*")[0] if is_pattern(pattern) else ""


def _is_shown(row: LaneRow) -> bool:
    return row.is_busy or row.stands in ("held", "paused", "probing")


def _order(row: LaneRow) -> tuple[int, str]:
    return -(row.view.waiting or 0), row.view.key
