"""The body of `POST /v1/flows`, read into a flow and its jobs, each behind the ones that it comes after."""

import hashlib
from collections.abc import Callable
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
from service.requests.requests import Requests
from service.resources import Resources


class WantedFlow(NamedTuple):
    """A flow to enqueue; `ids` has the ids of its jobs by their names, in the order of the request."""

    flow: NewFlow
    jobs: list[NewJob]
    ids: dict[str, str]


def parse_flow(
    requests: Requests, resources: Resources, body: bytes, now: datetime, made: Callable[[Any, bytes], NewJob]
) -> WantedFlow:
    """Read a flow. Raises what `parse_batch` does, and `FlowInvalid` where its jobs cannot be put in an order."""
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
    for number, place in enumerate(order):
        job = jobs[place]
        if job.request_hash is None:  # else its client made the id
            job.id, job.request_hash = job_id(flow.id, number), asked
    ids = {node.name: job.id for node, job in zip(nodes, jobs, strict=True)}
    for node, job in zip(nodes, jobs, strict=True):
        job.flow, job.flow_name = flow.id, node.name
        job.after = tuple(ids[name] for name in dict.fromkeys(node.after))
    return WantedFlow(flow, [jobs[place] for place in order], ids)


def job_id(flow_id: str, number: int) -> str:
    """Make the id of a job from its flow's: a UUIDv7 of the same time, so that ids sort as the jobs are to run.

    The same flow sent again has the same jobs.
    """
    flow = UUID(flow_id)
    time_ms, own = flow.int >> 80, int.from_bytes(hashlib.sha256(flow.bytes).digest()[:8], "big") >> 4
    return str(UUID(int=time_ms << 80 | 7 << 76 | (number >> 2) << 64 | 0b10 << 62 | (number & 3) << 60 | own))


def _too_many_edges() -> FlowInvalid:
    text = f"A flow may have {MOST_EDGES:,} edges at most: its jobs name more in `after`."
    return FlowInvalid(text, errors=[{"loc": ["jobs"], "msg": text, "type": "too_long"}])
