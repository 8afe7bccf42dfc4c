"""What `POST /v1/jobs` refuses, and that nothing is recorded then."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from service.ledger.states import State
from service.lifecycle.args import describe
from tests.service.api.driving import assert_problem, count, on_sqlite, post, stat, webhook

KIB, MIB = 1024, 1024 * 1024

BAD_REQUESTS: dict[str, Any] = {
    "unknown kind": {"kind": "nope", "args": {}},
    "kind missing": {"args": {}},
    "kind of another type": {"kind": 7, "args": {}},
    "args missing": {"kind": "update_stats"},
    "args null": {"kind": "update_stats", "args": None},
    "args of another type": {"kind": "update_stats", "args": "x"},
    "arg missing": {"kind": "update_stats", "args": {"subject": "s"}},
    "arg unknown": {"kind": "update_stats", "args": {"subject": "s", "event": "e", "nope": 1}},
    "arg of another type": {"kind": "update_stats", "args": {"subject": "s", "event": "e", "count": "many"}},
    "field unknown": stat(nope=1),
    "queue unknown": stat(queue="nope"),
    "queue empty": stat(queue=""),
    "run_at without a zone": stat(run_at="2030-01-01T00:00:00"),
    "run_at no time": stat(run_at="tomorrow"),
    "run_at a number": stat(run_at=1893456000),
    "run_at a number of ms": stat(run_at=1893456000000.5),
    "run_at a number as text": stat(run_at="1893456000"),
    "run_at a day": stat(run_at="2030-01-01"),
    "run_at no day": stat(run_at="2030-02-30T00:00:00Z"),
    "run_at true": stat(run_at=True),
    "delay true": stat(delay=True),
    "delay as text": stat(delay="5"),
    "priority as text": stat(priority="3"),
    "priority true": stat(priority=True),
    "max_attempts as text": stat(max_attempts="3"),
    "timeout as text": stat(timeout="5"),
    "queue a number": stat(queue=5),
    "a tag that is a number": stat(tags=[5]),
    "the time of an arg a number": {"kind": "update_stats", "args": {"subject": "s", "event": "e", "at": 1893456000}},
    "an arg of neither of two types": {"kind": "call_http", "args": {"url": "https://example.com", "expect": ["3xy"]}},
    "an arg's number true": {"kind": "update_stats", "args": {"subject": "s", "event": "e", "count": True}},
    "run_at before all time": stat(run_at="0001-01-01T00:00:00+14:00"),
    "run_at after all time": stat(run_at="9999-12-31T23:59:59-14:00"),
    "run_at and delay": stat(run_at="2030-01-01T00:00:00Z", delay=1),
    "delay negative": stat(delay=-1),
    "delay endless": stat(delay=float("inf")),
    "delay no number": stat(delay=float("nan")),
    "delay beyond ten years": stat(delay=4e8),
    "priority above 10": stat(priority=11),
    "priority below -10": stat(priority=-11),
    "priority broken": stat(priority=0.5),
    "max_attempts 0": stat(max_attempts=0),
    "max_attempts too many": stat(max_attempts=10**30),
    "timeout 0": stat(timeout=0),
    "timeout endless": stat(timeout=float("inf")),
    "timeout no number": stat(timeout=float("nan")),
    "timeout less than a microsecond": stat(timeout=1e-300),
    "expires_in 0": stat(expires_in=0),
    "expires_in no number": stat(expires_in=float("nan")),
    "unique_key empty": stat(unique_key=""),
    "unique_key too long": stat(unique_key="x" * 256),
    "tag empty": stat(tags=[""]),
    "tag too long": stat(tags=["x" * 101]),
    "tags too many": stat(tags=[str(number) for number in range(21)]),
    "tags no list": stat(tags="x"),
    "a list": [stat()],
    "null": None,
    "a text": "x",
    "NUL in args": stat("a\0b"),
    "NUL in a tag": stat(tags=["\0"]),
    "NUL in the unique key": stat(unique_key="\0"),
    "NUL in a key": webhook(data={"\0": 1}),
    "args over 256 KiB": webhook(data="x" * 256 * KIB),
    "args over 256 KiB in UTF-8": webhook(data="é" * 130 * KIB),
}

BAD_JSON: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"kind=update_stats",
    "cut off": json.dumps(stat()).encode()[:-1],
    "more behind": json.dumps(stat()).encode() + b"}",
    "deep lists": b'{"kind":"send_webhook","args":{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "no UTF-8": b'{"kind":"\xff\xfe"}',
    "a lone surrogate": b'{"kind":"update_stats","args":{"subject":"\\ud800","event":"e"}}',
    "a raw NUL": b'{"kind":"update_stats","args":{"subject":"\x00","event":"e"}}',
    "a number without end": b'{"kind":"send_webhook","args":{"data":' + b"9" * 100_000 + b"}}",
}


@on_sqlite
async def test_request_that_does_not_fit_is_refused_as_a_problem_and_records_nothing(api: httpx.AsyncClient) -> None:
    answers = {
        name: await api.post("/v1/jobs", content=json.dumps(body).encode()) for name, body in BAD_REQUESTS.items()
    }
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(BAD_REQUESTS, 422)
    for answer in answers.values():
        assert_problem(answer, 422)
    assert await count(api) == 0


@on_sqlite
async def test_body_that_is_not_json_is_400(api: httpx.AsyncClient) -> None:
    for path in ("/v1/jobs", "/v1/jobs/batch"):
        answers = {name: await api.post(path, content=body) for name, body in BAD_JSON.items()}
        assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(BAD_JSON, 400)
        for answer in answers.values():
            assert_problem(answer, 400)
    assert await count(api) == 0


@on_sqlite
async def test_refusal_says_where_the_body_does_not_fit(api: httpx.AsyncClient) -> None:
    body = {"kind": "update_stats", "args": {"subject": "", "count": "many"}, "tags": ["ok", ""]}
    problem = assert_problem(await api.post("/v1/jobs", json=body), 422)
    where = {tuple(error["loc"]): error["type"] for error in problem["errors"]}
    too_short = {("args", "subject"): "string_too_short", ("tags", 1): "string_too_short"}
    assert where == {("args", "count"): "int_type"} | too_short
    problem = assert_problem(await api.post("/v1/jobs", json={"kind": "nope"}), 422)
    assert problem["type"] == "urn:postlude:problem:kind-unknown"
    assert "send_webhook" in problem["detail"]
    near: dict[str, Any] = {"kind": "update_stat"}
    for path, sent in (("/v1/jobs", near), ("/v1/jobs/batch", {"jobs": [{"kind": "cleanup"}, near]})):
        problem = assert_problem(await api.post(path, json=sent), 422)
        meant = "The kind is unknown; did you mean 'update_stats'?"
        assert problem["detail"].startswith(f"{meant} Known kinds: ")
        assert [error["msg"] for error in problem["errors"]] == [meant]
    problem = assert_problem(await api.post("/v1/jobs", json=stat(queue="defualt")), 422)
    assert problem["detail"].startswith("The queue is unknown. Did you mean 'default'? Known queues: ")
    for path, name in (("/v1/kinds/update_stat", "update_stats"), ("/v1/queues/defualt", "default")):
        problem = assert_problem(await api.post(f"{path}/pause"), 404)
        assert f" Did you mean '{name}'? Known " in problem["detail"]
    nameless = {"loc": ["kind"], "msg": "Field required", "type": "missing"}
    for method, path in (("POST", "/v1/jobs"), ("PUT", "/v1/schedules/a")):
        problem = assert_problem(await api.request(method, path, json={}), 422)
        assert (problem["errors"], problem["detail"]) == ([nameless], "The body is not valid: kind: Field required.")
    for path in ("/v1/jobs/batch", "/v1/flows"):
        [error] = assert_problem(await api.post(path, json={"jobs": [{}]}), 422)["errors"]
        assert error == nameless | {"loc": ["jobs", 0, "kind"]}
    of_two = {"kind": "make_thumbnail", "args": {"file": "f", "sizes": [64, 0]}}
    problem = assert_problem(await api.post("/v1/jobs", json=of_two), 422)
    assert {tuple(error["loc"]) for error in problem["errors"]} == {("args", "sizes", 1)}


@on_sqlite
async def test_backslashes_that_only_look_like_a_nul_are_accepted_and_kept(api: httpx.AsyncClient) -> None:
    for subject in ("\\u0000", "\\\\u0000", "a\\\\\\u0000b"):
        assert (await post(api, subject=subject))["args"]["subject"] == subject


async def test_any_other_text_is_accepted_and_kept(api: httpx.AsyncClient) -> None:
    text = "Ünï \u2028\u2029 'q' \"d\" \U0001f3b5 \x01\x7f %s $1 :a {} <b>"
    data = {"text": text, "big": 10**40, "small": 1e-300, "deep": json.loads("[" * 90 + "]" * 90)}
    response = await api.post("/v1/jobs", json=webhook(data=data) | {"tags": [text], "unique_key": text})
    assert response.status_code == 202
    job = (await api.get(response.headers["location"])).json()
    assert (job["args"]["data"], job["tags"]) == (data, [text])
    assert [found["id"] for found in (await api.get("/v1/jobs", params={"tag": text})).json()["jobs"]] == [job["id"]]


async def chunks(size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, 64 * KIB):
        yield b" " * min(64 * KIB, size - start)


@on_sqlite
async def test_body_over_the_limit_is_413_however_it_is_sent(api: httpx.AsyncClient) -> None:
    for path, limit in (("/v1/jobs", MIB), ("/v1/jobs/batch", 32 * MIB)):
        assert_problem(await api.post(path, content=b" " * (limit + 1)), 413)
        assert_problem(await api.post(path, content=chunks(limit + 1)), 413)
        assert_problem(await api.post(path, content=chunks(limit)), 400)  # may be as large, and is no JSON


@on_sqlite
async def test_too_long_a_body_is_refused_before_it_is_sent(api: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    writer.write(b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n")
    try:
        async with asyncio.timeout(5):
            assert b" 413 " in await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()


@on_sqlite
async def test_refusals_speak_the_words_of_the_api_and_not_of_its_code(api: httpx.AsyncClient) -> None:
    answers = [
        await api.post("/v1/jobs/replay", json={"filter": {"state": "succeeded"}}),
        await api.post("/v1/jobs/replay", json={"filter": {"state": ["failed", "queued"]}}),
        await api.post("/v1/jobs/replay", json={"filter": {"state": []}}),
        await api.post("/v1/jobs/replay", json={"filter": {"created_after": 5}}),
        await api.get("/v1/jobs", params={"state": "done"}),
        await api.get("/v1/jobs/x", params={"wait": "nan"}),
        *[await api.post("/v1/jobs", content=json.dumps(body)) for body in BAD_REQUESTS.values()],
    ]
    for answer in answers:
        problem = assert_problem(answer, 422)
        assert problem["type"].startswith("urn:postlude:problem:")
        for word in ("State.", "<", "pydantic", "Value error", "instance of", "Enqueue_"):
            assert word not in answer.text, answer.text


async def test_a_mistyped_option_is_told_what_was_meant(api: httpx.AsyncClient) -> None:
    lane = {"key": "a", "concurency": 1}
    for body, place, meant in (
        (stat(prority=5), ["prority"], "priority"),
        (stat(lane=lane), ["lane", "concurency"], "concurrency"),
        (stat(on_end={"kind": "update_stats", "prioriti": 1}), ["on_end", "prioriti"], "priority"),
    ):
        [error] = assert_problem(await api.post("/v1/jobs", json=body), 422)["errors"]
        assert (error["loc"], error["msg"]) == (place, f"Extra inputs are not permitted; did you mean {meant!r}?")
    change = {"action": "change", "filter": {"kind": ["update_stats"]}, "change": {"priorty": 5}}
    [error] = assert_problem(await api.post("/v1/operations", json=change), 422)["errors"]
    assert (error["loc"], error["msg"][-24:]) == (["change", "priorty"], "did you mean 'priority'?")


async def test_of_very_many_mistakes_the_first_may_be_longer_than_what_is_read_of_them(
    api: httpx.AsyncClient,
) -> None:
    args = {"x" * 150_000: 1} | {f"k{number}": 1 for number in range(1_200)}
    job = {"kind": "update_stats", "args": args}
    for path, body, place in (
        ("/v1/jobs", job, ["args"]),
        ("/v1/jobs/batch", {"jobs": [job]}, ["jobs", 0, "args"]),
        ("/v1/flows", {"jobs": [job | {"name": "a"}]}, ["jobs", 0, "args"]),
    ):
        [error] = assert_problem(await api.post(path, json=body), 422)["errors"]
        assert error["loc"] == [*place, "x" * 100]
        assert "too long to show" in error["msg"]
        assert error["type"] == "extra_forbidden"


def test_members_of_an_enumeration_are_shown_by_their_values() -> None:
    class Allowed(BaseModel):
        state: Literal[State.FAILED, State.CANCELLED]

    with pytest.raises(ValidationError) as refused:
        Allowed.model_validate({"state": "done"})
    assert [error["msg"] for error in describe(refused.value)] == ["Input should be 'failed' or 'cancelled'"]


@on_sqlite
async def test_missing_things_and_impossible_actions_are_problems(api: httpx.AsyncClient) -> None:
    assert_problem(await api.get("/v1/nothing"), 404)
    assert_problem(await api.get("/nothing"), 404)
    assert_problem(await api.post("/v1/jobs/x/explode"), 404)
    problem = assert_problem(await api.get("/v1/nothing"), 404)
    assert problem["type"] == "urn:postlude:problem:not-found"
    for method, path, allowed in (("DELETE", "/v1/jobs", "POST"), ("POST", "/v1/kinds", "GET")):
        response = await api.request(method, path)
        assert_problem(response, 405)
        assert allowed in response.headers["allow"]
