"""New jobs that come after others, have callbacks, or are in a flow: what is recorded beside their rows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Integer, String, select, update

from service.ledger.models import Ended, Enqueue, Followed, NewJob
from service.ledger.records.callbacks import insert_callbacks
from service.ledger.records.conflicts import Overtaken
from service.ledger.records.decided import reason_of
from service.ledger.records.edges import Edge, Parent, insert_edges, lock_parents, mark_parents
from service.ledger.records.ended import leave, record_ended
from service.ledger.records.flows import count_begun, insert_flows, note_joined, traits_of_flows
from service.ledger.records.tallied import tally
from service.ledger.rows import execute, found_by, ids_parameter, is_one_of, packed, unfold_lists
from service.ledger.states import PARENT_FAILED, State, edge_state
from service.ledger.traits import FOLLOWED, Trait
from service.tables import jobs

_links_of = attrgetter("after", "callbacks", "flow")
_NO_LINKS = ((), (), None)
_fields_of = attrgetter(*(one.name for one in fields(NewJob)))
# Plain numbers, see `traits.FOLLOWED`.
_PARENTS, _CHILDREN, _CALLBACKS = Trait.PARENTS.value, Trait.CHILDREN.value, Trait.CALLBACKS.value
_FLOW_CALLBACKS = Trait.FLOW_CALLBACKS.value


def are_linked(requests: Sequence[Enqueue]) -> bool:
    """Whether any of the requests has such a job."""
    return any(_links_of(job) != _NO_LINKS for request in requests for job in request.jobs)


@dataclass(slots=True)
class Links:
    """The present state of what requests refer to, and the edges that they plan.

    The edges go by the object of their child: another request may have a job of the same id. The parents are locked.
    `recorded` are jobs that were recorded before, because the request was sent again.
    """

    parents: Mapping[str, Parent]
    flows: Mapping[str, int]
    recorded: set[str]
    edges: dict[int, list[Edge]] = field(default_factory=dict)

    def unknown_to(self, request: Enqueue) -> tuple[str, ...]:
        """Return the parents and flows that a request names but that do not exist."""
        own = {job.id for job in request.jobs}
        if request.flow is not None:
            own.add(request.flow.id)
        new = [job for job in request.jobs if job.id not in self.recorded]
        named = dict.fromkeys(one for job in new for one in (*job.after, job.flow) if one is not None)
        return tuple(one for one in named if one not in own and one not in self.parents and one not in self.flows)

    def plan(self, request: Enqueue) -> Enqueue:
        """Return the request with its jobs in the states to record: parents that have ended decide at once."""
        parents, flows = dict(self.parents), dict(self.flows)
        if request.flow is not None:
            flows.setdefault(request.flow.id, _CALLBACKS if request.flow.callbacks else 0)
        have_children = {parent for job in request.jobs for parent in job.after}
        planned = []
        for job in request.jobs:
            traits = _traits_of(job, flows) | (_CHILDREN if job.id in have_children else 0)
            own = NewJob(*_fields_of(job))  # `replace` takes three times as long
            own.traits |= traits
            self._let_wait(own, parents)
            planned.append(own)
            parents.setdefault(own.id, Parent(own.id, own.counted_as, own.state, has_attempted=False))
        return replace(request, jobs=tuple(planned))

    def _let_wait(self, job: NewJob, parents: Mapping[str, Parent]) -> None:
        """Plan the edges to a job, and fill in its fields about parents."""
        if not job.after or job.id in self.recorded:
            return
        edges = self.edges[id(job)] = _edges_of(job, parents)
        states = [edge.state for edge in edges]
        job.blocked_by = states.count("open")
        if "broken" in states:
            job.state, job.finished_at, job.error_type = State.CANCELLED, job.created_at, PARENT_FAILED
            job.error_message = reason_of(parents[edges[states.index("broken")].parent])
        elif job.blocked_by:
            job.state = State.BLOCKED


def links_of(connection: Connection, requests: Sequence[Enqueue]) -> Links:
    """Read what requests refer to, and lock the parents until the transaction ends.

    A parent from another request of the same group is not recorded yet: a caller that enqueues both must wait for the
    answer to the first.
    """
    asked = [job for request in requests for job in request.jobs]
    named = {parent for job in asked for parent in job.after}
    own = {job.id for job in asked} & named
    recorded = _recorded(connection, own.union(_children_of(own, asked))) if own else set()
    there = named - (own - recorded)
    parents = lock_parents(connection, there) if there else {}
    if missing := there - parents.keys():
        recorded |= _recorded(connection, _children_of(missing, asked))
    flows = {job.flow for job in asked if job.flow is not None}
    return Links(parents, traits_of_flows(connection, flows) if flows else {}, recorded)


def _children_of(parents: set[str], asked: Sequence[NewJob]) -> list[str]:
    return [job.id for job in asked if not parents.isdisjoint(job.after)]


def _recorded(connection: Connection, ids: Iterable[str]) -> set[str]:
    dialect = connection.dialect.name
    return set(connection.execute(_found(dialect), ids_parameter(dialect, ids)).scalars())


def record_links(
    connection: Connection,
    requests: Sequence[Enqueue],
    links: Links,
    ids: Mapping[str, str],
    created: Sequence[NewJob],
) -> Followed:
    """Record the links of the jobs in `created`. `ids` has, for each job, the id that stands for it."""
    writer, at = requests[0].writer, requests[0].jobs[0].created_at
    flows = [request.flow for request in requests if request.flow is not None]
    joined = {job.flow for job in created}
    new_flows = insert_flows(connection, flows, joined)
    note_joined(connection, {flow: traits for flow, traits in links.flows.items() if flow in joined})
    insert_callbacks(connection, [(job.id, callback) for job in created for callback in job.callbacks])
    holders = _record_edges(connection, links, ids, created)
    begun = Counter(job.flow for job in created if job.flow is not None and job.traits & _FLOW_CALLBACKS)
    count_begun(connection, begun)
    over = [Ended(job.id, job.counted_as, job.state, job.traits) for job in created if job.state is State.CANCELLED]
    tally(connection, [(writer, job.kind, str(job.state)) for job in over], at)
    over_and_followed = [job for job in over if job.traits & FOLLOWED]
    followed = record_ended(connection, over_and_followed, at, writer, empty_flows=new_flows - begun.keys())
    if holders:
        leave(connection, holders, at)
    return followed._replace(left=followed.left or bool(holders))


def _record_edges(connection: Connection, links: Links, ids: Mapping[str, str], created: Sequence[NewJob]) -> set[str]:
    """Insert the edges to new jobs. Return the parents that stand for other jobs, which may have ended since."""
    stand_ins = {job_id: standing for job_id, standing in ids.items() if standing != job_id}
    edges = [edge for job in created for edge in links.edges.get(id(job), ())]
    holders: set[str] = set()
    if stand_ins:
        edges, holders = _turn_to_holders(connection, edges, stand_ins, created)
    if edges:
        insert_edges(connection, edges)
        if to_mark := holders.union(edge.parent for edge in edges if edge.parent in links.parents):
            mark_parents(connection, to_mark)
    return holders


def _turn_to_holders(
    connection: Connection, edges: Sequence[Edge], stand_ins: Mapping[str, str], created: Sequence[NewJob]
) -> tuple[list[Edge], set[str]]:
    """Move edges to the jobs that stand for their parents; return the edges, and those jobs.

    If a child has named both, it waits for that job once.
    """
    own: dict[str, dict[str, Edge]] = {}
    for edge in edges:
        standing = edge._replace(parent=stand_ins.get(edge.parent, edge.parent))
        of_child = own.setdefault(edge.child, {})
        if standing.parent not in of_child or standing.state == "open":
            of_child[standing.parent] = standing
    named = {(edge.parent, edge.child) for edge in edges}
    holders = {parent for child, of_child in own.items() for parent in of_child if (parent, child) not in named}
    if holders and holders - lock_parents(connection, holders).keys():
        raise Overtaken("a holder of a unique key has been deleted")
    counts = {child: _count_open(of_child.values()) for child, of_child in own.items()}
    if recounted := [
        (job.id, counts[job.id]) for job in created if job.blocked_by and counts[job.id] != job.blocked_by
    ]:
        execute(connection, _recount(connection.dialect.name), packed(recounted))
    return [edge for of_child in own.values() for edge in of_child.values()], holders


def _edges_of(job: NewJob, parents: Mapping[str, Parent]) -> list[Edge]:
    edges = []
    for position, parent_id in enumerate(dict.fromkeys(job.after)):
        parent = parents.get(parent_id)
        if parent is None:
            raise ValueError(f"job {job.id} stands before {parent_id}, which it comes after")
        state = edge_state(parent.state, has_attempted=parent.has_attempted, run_when=job.run_when)
        edges.append(Edge(parent_id, job.id, job.run_when, state, position))
    return edges


def _traits_of(job: NewJob, flows: Mapping[str, int]) -> int:
    traits = _PARENTS if job.after else 0
    traits |= _CALLBACKS if job.callbacks else 0
    has_callbacks = job.flow is not None and flows.get(job.flow, 0) & _CALLBACKS
    return traits | (_FLOW_CALLBACKS if has_callbacks else 0)


def _count_open(edges: Iterable[Edge]) -> int:
    return sum(edge.state == "open" for edge in edges)


@cache
def _found(dialect: str) -> Any:
    return select(jobs.c.id).where(is_one_of(dialect, jobs.c.id))


@cache
def _recount(dialect: str) -> Any:
    child = unfold_lists(dialect, "child", {"id": String(255), "blocked_by": Integer()})
    return update(jobs).where(found_by(dialect, jobs.c.id, child.c.id)).values(blocked_by=child.c.blocked_by)
