"""A job's states as a drawing: each state once, with how often and how long the job was in it, and its path. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from service.dashboard.job.timeline import Timeline
from service.dashboard.text import ago, rough_text, span_text
from service.ledger.states import TERMINAL, State

WIDTH, HEIGHT = 1200, 224
# With room below for a way back from `cancelled`.
_HEIGHT_WITH_WAY_BACK = 248

_PLACES = {
    State.SCHEDULED: (0, 5),
    State.BLOCKED: (0, 141),
    State.QUEUED: (330, 73),
    State.RUNNING: (660, 73),
    State.RETRYING: (660, 169),
    State.SUCCEEDED: (1026, 5),
    State.FAILED: (1026, 73),
    State.CANCELLED: (1026, 141),
}
# Always drawn, dashed if the job did not go there.
_USUAL = {
    (State.SCHEDULED, State.QUEUED): "M170 31C250 31 250 93 323 93",
    (State.BLOCKED, State.QUEUED): "M170 167C250 167 250 105 323 105",
    (State.QUEUED, State.RUNNING): "M500 99H653",
    (State.RUNNING, State.SUCCEEDED): "M830 87C930 87 930 31 1019 31",
    (State.RUNNING, State.FAILED): "M830 99H1019",
    (State.RUNNING, State.CANCELLED): "M830 111C930 111 930 167 1019 167",
    (State.RUNNING, State.RETRYING): "M720 125V162",
    (State.RETRYING, State.RUNNING): "M770 169V132",
}
# Drawn only if the job went there.
_RARE = {
    (State.BLOCKED, State.SCHEDULED): "M85 141V64",
    (State.RUNNING, State.QUEUED): "M700 73C680 40 440 40 416 66",
    (State.RETRYING, State.QUEUED): "M660 195C520 195 416 190 416 132",
    (State.FAILED, State.QUEUED): "M1026 84C960 84 960 16 880 16H470C410 16 400 40 400 66",
    (State.CANCELLED, State.QUEUED): "M1026 182C960 182 950 236 880 236H500C420 236 396 190 396 132",
    (State.CANCELLED, State.BLOCKED): "M1026 182C960 182 950 236 880 236H150C100 236 85 225 85 200",
    (State.QUEUED, State.CANCELLED): "M480 125C500 147 540 147 590 147H850C930 147 950 180 1019 180",
    (State.SCHEDULED, State.CANCELLED): "M170 42C250 60 280 147 360 147H850C930 147 950 180 1019 180",
    (State.BLOCKED, State.CANCELLED): "M170 176C220 176 250 147 330 147H850C930 147 950 180 1019 180",
    (State.RETRYING, State.CANCELLED): "M830 195C910 195 940 180 1019 180",
    (State.QUEUED, State.FAILED): "M470 73C490 45 540 45 600 45H850C930 45 950 88 1019 92",
    (State.SCHEDULED, State.FAILED): "M170 20C300 20 420 45 540 45H850C930 45 950 88 1019 92",
    (State.BLOCKED, State.FAILED): "M170 152C260 120 280 45 400 45H850C930 45 950 88 1019 92",
    (State.RETRYING, State.FAILED): "M830 182C910 182 940 106 1019 106",
}
# A replay queues a job, even if its moment is no longer known.
_RARE |= {(ended, State.RUNNING): _RARE[ended, State.QUEUED] for ended in (State.FAILED, State.CANCELLED)}
_TIMES = "\N{MULTIPLICATION SIGN}"
_TIMES_AT = {(State.RUNNING, State.RETRYING): (698, 151), (State.RETRYING, State.RUNNING): (792, 151)}


class Node(NamedTuple):
    """A state; `sub` says how often and how long, None if the job was never in it."""

    state: State
    x: int
    y: int
    sub: str | None
    is_here: bool


class Edge(NamedTuple):
    """A way from one state to another; `times` is shown if it was taken more than once."""

    path: str
    went: bool
    times: str | None = None
    x: int = 0
    y: int = 0


class Machine(NamedTuple):
    nodes: Sequence[Node]
    edges: Sequence[Edge]
    height: int
    label: str


def machine(way: Timeline) -> Machine:
    """Draw a timeline. Its size does not depend on how often the job was tried."""
    moves = way.moves
    usual = [_edge(move, path, moves.get(move, 0)) for move, path in _USUAL.items()]
    rare = [_edge(move, path, moves[move]) for move, path in _RARE.items() if move in moves]
    edges = sorted([*usual, *rare], key=lambda edge: edge.went)
    nodes = [_node(state, x, y, way) for state, (x, y) in _PLACES.items()]
    back = any(start is State.CANCELLED for start, _ in moves)
    return Machine(nodes, edges, _HEIGHT_WITH_WAY_BACK if back else HEIGHT, _label(way))


def _edge(move: tuple[State, State], path: str, times: int) -> Edge:
    if times > 1 and move in _TIMES_AT:
        return Edge(path, True, f"{times:,} {_TIMES}", *_TIMES_AT[move])
    return Edge(path, times > 0)


def _node(state: State, x: int, y: int, way: Timeline) -> Node:
    total = way.totals.get(state)
    if total is None:
        return Node(state, x, y, None, is_here=False)
    return Node(state, x, y, _sub(state, way), way.here.state is state)


def _sub(state: State, way: Timeline) -> str:
    visits, time = way.totals[state]
    often = f"{visits:,} {_TIMES}, " if visits > 1 else ""
    if way.here.state is state:
        if state in TERMINAL:
            return often + ago(way.now, way.here.since)
        lasted = rough_text(time.total_seconds()) if often else span_text(time.total_seconds())  # there is little room
        return f"{often}{lasted} so far"
    return often + span_text(time.total_seconds())


def _label(way: Timeline) -> str:
    """Say in words what the drawing shows."""
    told = []
    for state, (visits, time) in way.totals.items():
        if way.here.state is state and state in TERMINAL:
            continue
        often = f" {visits:,} times" if visits > 1 else ""
        told.append(f"{state}{often} for {span_text(time.total_seconds())}")
    so_far = "; " + f"{way.here.state} now" if way.ended_at is None else f", then {way.here.state}"
    return f"The states of this job: {', '.join(told) or 'none before'}{so_far}."
