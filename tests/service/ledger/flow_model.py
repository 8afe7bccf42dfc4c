"""What the ledger should say about flows, as a model in plain Python: each edge says what became of its parent."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from service.ledger.models import Event
from service.ledger.states import LIVE, REPLAYABLE, TERMINAL, EdgeState, RunWhen, State, edge_state


@dataclass
class Node:
    """What the ledger should say about one job. It `fell` if a parent's end cancelled it."""

    id: str
    run_when: RunWhen
    events: tuple[Event, ...]
    flow: str | None
    expires_at: datetime | None
    edges: dict[str, EdgeState]
    state: State = State.QUEUED
    attempt: int = 0
    fell: bool = False
    cancelling: bool = False
    called: Counter[str] = field(default_factory=Counter)

    @property
    def open(self) -> int:
        return sum(state == "open" for state in self.edges.values())

    @property
    def broken(self) -> set[str]:
        return {parent for parent, state in self.edges.items() if state == "broken"}


@dataclass
class Flow:
    events: tuple[Event, ...]
    called: Counter[str] = field(default_factory=Counter)


class FlowModel:
    """Jobs in the order in which they came, parents first."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.flows: dict[str, Flow] = {}
        self.released: set[str] = set()
        self._over: set[str] = set()

    def add(self, node: Node) -> None:
        """Add a job as the ledger records it: its edges are decided at once."""
        self.nodes[node.id] = node
        if node.edges:
            node.state = State.BLOCKED
        self._decide(node, told=False)

    def end(self, node: Node, state: State) -> None:
        node.state = State.CANCELLED if node.cancelling else state
        self._note_end(node)

    def replay(self, asked: Iterable[Node]) -> set[str]:
        """Replay jobs together, except jobs that need a failed one that is not replayed.

        Return the ids of the replayed jobs.
        """
        again = {node.id: node for node in asked if node.state in REPLAYABLE}
        while fallen := [job_id for job_id, node in again.items() if node.broken - again.keys()]:
            again = {job_id: node for job_id, node in again.items() if job_id not in fallen}
        for node in again.values():
            node.edges |= dict.fromkeys(node.broken, "open")
            node.state = State.BLOCKED if node.open else State.QUEUED
            node.fell = node.cancelling = False
            node.expires_at = None
        return set(again)

    def settle(self) -> None:
        """Let everything follow from what has happened: parents come before their children."""
        for node in self.nodes.values():
            self._decide(node)
        for flow_id in self._over:
            if not self.live(flow_id):
                self._call(self.flows[flow_id].events, self.flows[flow_id].called, self.state_of(flow_id))
        self._over = set()

    def live(self, flow_id: str) -> int:
        return sum(node.flow == flow_id and node.state in LIVE for node in self.nodes.values())

    def state_of(self, flow_id: str) -> State:
        states = {node.state for node in self.nodes.values() if node.flow == flow_id}
        return State.SUCCEEDED if states == {State.SUCCEEDED} else State.FAILED

    def purge(self) -> set[str]:
        """Forget ended jobs whose edges are settled; return their ids."""
        awaited = {parent for node in self.nodes.values() for parent, state in node.edges.items() if state == "open"}
        gone = {
            one.id for one in self.nodes.values() if one.state in TERMINAL and not one.open and one.id not in awaited
        }
        for job_id in gone:
            del self.nodes[job_id]
        for node in self.nodes.values():
            node.edges = {parent: state for parent, state in node.edges.items() if parent not in gone}
        return gone

    def _decide(self, node: Node, *, told: bool = True) -> None:
        before = dict(node.edges)
        for parent_id, state in before.items():
            parent = self.nodes[parent_id]
            if state != "met":
                attempted = parent.attempt > (parent.state is State.RUNNING)
                node.edges[parent_id] = edge_state(parent.state, has_attempted=attempted, run_when=node.run_when)
        if node.state is State.BLOCKED and node.broken:
            node.state, node.fell = State.CANCELLED, True
            self._note_end(node)
        elif node.fell and not node.broken and node.edges != before:
            node.state, node.fell, node.expires_at = State.BLOCKED, False, None
        if node.state is State.BLOCKED and not node.open:
            node.state = State.QUEUED
            if told:
                self.released.add(node.id)

    def _note_end(self, node: Node) -> None:
        self._call(node.events, node.called, node.state)
        if node.flow is not None:
            self._over.add(node.flow)

    def _call(self, events: tuple[Event, ...], called: Counter[str], state: State) -> None:
        how = "success" if state is State.SUCCEEDED else "failure"
        called.update(event for event in events if event in ("end", how))
