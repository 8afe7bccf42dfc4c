"""Where the jobs of a flow are in its drawing, from left to right by depth, and how the edges run. Pure.

An edge over several columns has its own place in each column between, so that it goes around the boxes there.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import accumulate, pairwise
from statistics import fmean

MOST_JOBS, MOST_EDGES = 200, 800
BOX_WIDTH, BOX_HEIGHT = 186, 62
_COLUMN, _LEFT = 262, 10
_ROW, _THREAD = 84, 28  # the room of a box, and of an edge that passes by
_SWEEPS = 4

# A job's id or, for an edge on its way, the id of its parent: both with their column.
_Place = tuple[str, int]
_Links = Mapping[_Place, Sequence[_Place]]


@dataclass(frozen=True, slots=True)
class Drawing:
    """`boxes` are the upper left corners of the jobs' boxes, `paths` the edges' lines by (parent, child)."""

    width: int
    height: int
    boxes: Mapping[str, tuple[int, int]]
    paths: Mapping[tuple[str, str], str]


def is_drawable(jobs: int, edges: int) -> bool:
    """Whether a drawing would be of any use."""
    return jobs <= MOST_JOBS and edges <= MOST_EDGES


def draw(ids: Sequence[str], edges: Sequence[tuple[str, str]]) -> Drawing:
    """Lay out jobs; `edges` are (parent, child), and only edges between the jobs count."""
    known = set(ids)
    among = [edge for edge in edges if known.issuperset(edge)]
    depth = _depths(ids, among)
    ways = {(parent, child): _way(parent, child, depth) for parent, child in among}
    columns = _columns(ids, depth, ways.values())
    before, after = _links(ways.values())
    for _ in range(_SWEEPS):
        _sort(columns, before)
        _sort(columns[::-1], after)
    half = {place: _half(place, depth) for column in columns for place in column}
    heights = _heights(columns, before, after, half)
    top = min((height - half[place] for place, height in heights.items()), default=0.0)
    middle = {place: round(height - top) for place, height in heights.items()}
    return Drawing(
        width=_left(len(columns) - 1) + BOX_WIDTH + _LEFT,
        height=round(max((middle[place] + half[place] for place in middle), default=0.0)),
        boxes={job_id: (_left(depth[job_id]), middle[job_id, depth[job_id]] - BOX_HEIGHT // 2) for job_id in ids},
        paths={edge: _path(way, middle) for edge, way in ways.items()},
    )


def _depths(ids: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return, for each job, the longest chain of jobs before it."""
    parents: dict[str, list[str]] = {job_id: [] for job_id in ids}
    for parent, child in edges:
        parents[child].append(parent)
    depth: dict[str, int] = {}
    for job_id in TopologicalSorter(parents).static_order():
        depth[job_id] = max((depth[parent] + 1 for parent in parents[job_id]), default=0)
    return depth


def _way(parent: str, child: str, depth: Mapping[str, int]) -> list[_Place]:
    """Return the places that an edge goes through. The edges of one parent share theirs."""
    between = range(depth[parent] + 1, depth[child])
    return [(parent, depth[parent]), *((parent, column) for column in between), (child, depth[child])]


def _columns(ids: Sequence[str], depth: Mapping[str, int], ways: Collection[list[_Place]]) -> list[list[_Place]]:
    columns: list[dict[_Place, None]] = [{} for _ in range(max(depth.values(), default=0) + 1)]
    for job_id in ids:
        columns[depth[job_id]][job_id, depth[job_id]] = None
    for way in ways:
        for place in way[1:-1]:
            columns[place[1]][place] = None
    return [list(column) for column in columns]


def _links(ways: Collection[list[_Place]]) -> tuple[_Links, _Links]:
    """Return what each place is joined to in the column before, and in the one after."""
    before: defaultdict[_Place, list[_Place]] = defaultdict(list)
    after: defaultdict[_Place, list[_Place]] = defaultdict(list)
    for one, other in {pair: None for way in ways for pair in pairwise(way)}:
        after[one].append(other)
        before[other].append(one)
    return before, after


def _sort(columns: Sequence[list[_Place]], links: _Links) -> None:
    """Sort each column by what it is joined to in the one before it, so that few lines cross."""
    for ahead, column in pairwise(columns):
        at = {place: number for number, place in enumerate(ahead)}
        own = {place: number for number, place in enumerate(column)}
        column.sort(key=lambda place: _mean([at[one] for one in links.get(place, ())], own[place]))


def _heights(
    columns: Sequence[list[_Place]], before: _Links, after: _Links, half: Mapping[_Place, float]
) -> dict[_Place, float]:
    """Choose the middle of each place: level with what it is joined to, as far as there is room."""
    heights: dict[_Place, float] = {}

    def settle(column: list[_Place], links: _Links) -> None:
        wished = [_mean([heights[one] for one in links.get(place, ())], heights.get(place, 0.0)) for place in column]
        heights.update(zip(column, _apart(wished, [half[place] for place in column]), strict=True))

    for some, links in ((columns, before), (columns[::-1], after), (columns, before)):
        for column in some:
            settle(column, links)
    return heights


def _apart(wished: Sequence[float], halves: Sequence[float]) -> list[float]:
    """Return the heights closest to the wanted ones, with enough room between: an isotonic regression."""
    gaps = [upper + lower for upper, lower in pairwise(halves)]
    rooms = list(accumulate(gaps, initial=0.0))[: len(wished)]
    blocks: list[tuple[float, int]] = []
    for wish, room in zip(wished, rooms, strict=True):
        mean, size = wish - room, 1
        while blocks and blocks[-1][0] >= mean:
            other, number = blocks.pop()
            mean, size = (other * number + mean * size) / (number + size), number + size
        blocks.append((mean, size))
    flat = [mean for mean, size in blocks for _ in range(size)]
    return [mean + room for mean, room in zip(flat, rooms, strict=True)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return fmean(values) if values else otherwise


def _half(place: _Place, depth: Mapping[str, int]) -> float:
    """Return half the room of a place: of a job's box in its own column, of an edge that passes by in any other."""
    name, column = place
    return (_ROW if depth[name] == column else _THREAD) / 2


def _left(column: int) -> int:
    return _LEFT + column * _COLUMN


def _path(way: Sequence[_Place], middle: Mapping[_Place, int]) -> str:
    """Return the line of an edge: a curve from column to column, level where it passes one."""
    parts: list[str] = []
    for (name, column), (other, beyond) in pairwise(way):
        x, y = _left(column) + BOX_WIDTH, middle[name, column]
        to_x, to_y = _left(beyond), middle[other, beyond]
        bend = (x + to_x) // 2
        parts.append(f"{'H' if parts else 'M'}{x}" + ("" if parts else f" {y}"))
        parts.append(f"C{bend} {y} {bend} {to_y} {to_x} {to_y}")
    return "".join(parts)
