"""The body of `POST /v1/flows`, read into a flow and its jobs, each after the jobs that it comes after."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from service.api.flow_graph import Node, in_order
from service.api.jobs.batch import parse_batch
from service.errors import FlowInvalid
from service.ledger.models import NewFlow, NewJob
from service.lifecycle.new_job import new_id
from service.requests.client_made import request_hash
from service.requests.following import MOST_EDGES, callbacks_of
from service.requests.requests import MAX_BATCH, Requests
from service.resources import Resources


class WantedFlow(NamedTuple):
    """A flow to enqueue; `ids` has the ids of its jobs by their names, in the order of the request."""

    flow: NewFlow
    jobs: list[NewJob]
    ids: dict[str, str]


def parse_flow(
    requests: Requests, resources: Resources, body: bytes, now: datetime, made: Callable[[Any, bytes], NewJob]
) -> WantedFlow:
    """Read a flow. Raises what `parse_batch` does, and `FlowInvalid` if its jobs cannot be put in an order."""
    nodes: list[Node] = []
    left = MOST_EDGES

    def placed(wanted: Any, part: bytes) -> NewJob:
        nonlocal left
        left -= len(wanted.after)
        if left < 0:
            raise _too_many_edges()
        nodes.append(Node(wanted.name, wanted.after))
        return made(wanted, part)

    around, jobs = parse_batch(requests.flow, body, placed)
    order = in_order(nodes)
    asked = request_hash(body) if around.id else None
    flow = NewFlow(around.id or new_id(), now, around.name, callbacks_of(around, resources), asked)
    made_ids = job_ids(flow.id)
    for place in order:
        job, own_id = jobs[place], next(made_ids)
        if job.request_hash is None:  # else its client made the id
            job.id, job.request_hash = own_id, asked
    ids = {node.name: job.id for node, job in zip(nodes, jobs, strict=True)}
    for node, job in zip(nodes, jobs, strict=True):
        job.flow, job.flow_name = flow.id, node.name
        job.after = tuple(ids[name] for name in dict.fromkeys(node.after))
    return WantedFlow(flow, [jobs[place] for place in order], ids)


def job_ids(flow_id: str) -> Iterator[str]:
    """Make the ids of jobs from their flow's: UUIDv7s of the same time, which sort in the order of the jobs.

    Sending the same flow again gives the same ids.
    """
    flow = UUID(flow_id)
    time, own = str(flow)[:14], hashlib.sha256(flow.bytes).hexdigest()[:15]
    for number in range(MAX_BATCH):
        yield f"{time}7{number >> 2:03x}-{8 | number & 3:x}{own[:3]}-{own[3:]}"


def _too_many_edges() -> FlowInvalid:
    text = f"A flow may have at most {MOST_EDGES:,} edges: its jobs name more in `after`."
    return FlowInvalid(text, errors=[{"loc": ["jobs"], "msg": text, "type": "too_long"}])
