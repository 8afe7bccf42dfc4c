"""What `POST /v1/flows` refuses, where it says the mistake is, and that nothing is recorded then."""

import json
import uuid
from typing import Any

import httpx
import pytest
import uuid_utils

from service.api.flow_requests import job_ids
from tests.service.api.driving import assert_problem, count, on_sqlite, stat

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")


def flow_of(*jobs: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"jobs": list(jobs)} | options


def named(name: Any, after: Any = (), **options: Any) -> dict[str, Any]:
    return stat(name=name, after=list(after) if isinstance(after, tuple) else after, **options)


ONE = named("a")
Loc = list[str | int]
REFUSED: dict[str, tuple[Any, Loc | None]] = {
    "no jobs": ({}, ["jobs"]),
    "jobs empty": (flow_of(), ["jobs"]),
    "jobs of another type": ({"jobs": {"a": ONE}}, ["jobs"]),
    "jobs in a list in a list": ({"jobs": [[ONE]]}, ["jobs", 0]),
    "a field unknown": (flow_of(ONE, nope=1), ["nope"]),
    "a name too long": (flow_of(ONE, name="x" * 101), ["name"]),
    "a name of no characters": (flow_of(ONE, name=""), ["name"]),
    "a job without a name": (flow_of(stat()), ["jobs", 0, "name"]),
    "a job's name too long": (flow_of(ONE, named("x" * 1_000_000)), ["jobs", 1, "name"]),
    "a job's name a number": (flow_of(named(7)), ["jobs", 0, "name"]),
    "a job's field unknown": (flow_of(ONE, named("b", nope=1)), ["jobs", 1, "nope"]),
    "a job that names a flow": (flow_of(named("a", flow="x")), ["jobs", 0, "flow"]),
    "a kind unknown in the middle": (flow_of(ONE, named("b") | {"kind": "nope"}, named("c")), ["jobs", 1, "kind"]),
    "args that do not fit": (flow_of(ONE, named("b") | {"args": {"subject": 1}}), ["jobs", 1, "args", "subject"]),
    "after a name that there is not": (flow_of(ONE, named("b", ("a", "x"))), ["jobs", 1, "after", 1]),
    "after itself": (flow_of(named("a", ("a",))), ["jobs", 0, "after", 0]),
    "after as text": (flow_of(named("a", "b")), ["jobs", 0, "after"]),
    "after null": (flow_of(named("a", None)), ["jobs", 0, "after"]),
    "after a number": (flow_of(named("a", [1])), ["jobs", 0, "after", 0]),
    "a cycle": (flow_of(named("a", ("c",)), named("b", ("a",)), named("c", ("b",))), ["jobs", 0, "after", 0]),
    "two of one name": (flow_of(ONE, ONE), ["jobs", 1, "name"]),
    "run_when unknown": (flow_of(named("a", run_when="never")), ["jobs", 0, "run_when"]),
    "a queue unknown": (flow_of(ONE, named("b", queue="nope")), ["jobs", 1, "queue"]),
    "a callback of two sorts": (flow_of(ONE, on_end={"kind": "update_stats", "url": "http://x/"}), ["on_end"]),
    "a callback of no sort": (flow_of(ONE, on_end={}), ["on_end"]),
    "a callback's kind unknown": (flow_of(ONE, on_end={"kind": "nope"}), ["on_end", "kind"]),
    "a callback's args unfit": (
        flow_of(ONE, on_end={"kind": "update_stats", "args": {"subject": 1, "event": "e"}}),
        ["on_end", "args", "subject"],
    ),
    "a callback's queue unknown": (
        flow_of(ONE, on_end={"kind": "update_stats", "args": {"subject": "s", "event": "e"}, "queue": "nope"}),
        ["on_end", "queue"],
    ),
    "a callback's secret no secret": (
        flow_of(ONE, on_success={"url": "http://127.0.0.1/", "secret": "x"}),
        ["on_success", "secret"],
    ),
    "a callback's url no url": (flow_of(ONE, on_failure={"url": "x"}), ["on_failure", "url"]),
    "a url with options": (flow_of(ONE, on_end={"url": "http://127.0.0.1/", "delay": 1}), ["on_end"]),
    "a kind with a secret": (flow_of(ONE, on_end={"kind": "update_stats", "secret": "x"}), ["on_end"]),
    "a job's callback unfit": (
        flow_of(ONE, named("b", on_end={"kind": "update_stats", "args": {"subject": 1, "event": "e"}})),
        ["jobs", 1, "on_end", "args", "subject"],
    ),
    "callbacks in a list": (flow_of(ONE, on_end=[{"kind": "update_stats"}]), ["on_end"]),
}


@on_sqlite
@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_a_flow_is_refused_at_its_place(api: httpx.AsyncClient, case: str) -> None:
    body, loc = REFUSED[case]
    problem = assert_problem(await api.post("/v1/flows", json=body), 422)
    places = [one["loc"] for one in problem.get("errors") or []]
    assert loc in places, problem
    assert len(json.dumps(problem)) < 4_000
    assert await count(api) == 0


async def test_a_cycle_of_ten_thousand_is_refused(api: httpx.AsyncClient) -> None:
    jobs = [named(f"job-{n}", (f"job-{(n - 1) % 10_000}",)) for n in range(10_000)]
    problem = assert_problem(await api.post("/v1/flows", json=flow_of(*jobs)), 422)
    assert problem["type"] == "urn:postlude:problem:flow-invalid"
    assert "job-1 → " in problem["detail"]


async def test_more_than_a_hundred_thousand_edges_are_refused(api: httpx.AsyncClient) -> None:
    parents = [named(f"p{n}") for n in range(1_000)]
    names = tuple(one["name"] for one in parents)
    children = [named(f"c{n}", names) for n in range(100)]
    problem = assert_problem(await api.post("/v1/flows", json=flow_of(*parents, *children, named("z", ("p1",)))), 422)
    assert problem["errors"] == [{"loc": ["jobs"], "msg": problem["errors"][0]["msg"], "type": "too_long"}]
    assert "100,000" in problem["detail"]


async def test_more_than_ten_thousand_jobs_are_refused(api: httpx.AsyncClient) -> None:
    problem = assert_problem(await api.post("/v1/flows", json=flow_of(*(named(f"{n}") for n in range(10_001)))), 422)
    assert problem["detail"] == "A flow may have at most 10,000 jobs."
    assert problem["errors"][0]["loc"] == ["jobs"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"jobs": [' + json.dumps(named("a\0")).encode() + b"]}", 422),
        (b'{"jobs": ' + b"[" * 300 + b"]" * 300 + b"}", 400),
        (b'{"on_end": {"kind": "update_stats", "args": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}}", 400),
        (b'{"jobs": [' + json.dumps(named("a")).encode() + b'], "jobs": [{}]}', 400),
        (b'{"jobs": [', 400),
        (b"[]", 422),
        (b"null", 422),
        (b"", 400),
    ],
)
async def test_bodies_of_other_forms_are_refused(api: httpx.AsyncClient, body: bytes, status: int) -> None:
    assert_problem(await api.post("/v1/flows", content=body), status)


@on_sqlite
async def test_text_that_looks_like_a_list_of_jobs_is_no_list(api: httpx.AsyncClient) -> None:
    wanted = flow_of(named("a"), name='"jobs": [{"kind": "x"}]', on_end=stat('"jobs": [{'))
    assert (await api.post("/v1/flows", json=wanted)).status_code == 202


def test_ids_of_a_flows_jobs_are_uuids_of_its_time_that_sort_as_they_run() -> None:
    flow = str(uuid_utils.uuid7())
    ids = [*job_ids(flow)]
    assert ids == sorted(set(ids))
    for one in (ids[0], ids[-1]):
        made = uuid.UUID(one)
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        assert made.int >> 80 == uuid.UUID(flow).int >> 80
    assert not {*ids} & {*job_ids(str(uuid_utils.uuid7()))}
