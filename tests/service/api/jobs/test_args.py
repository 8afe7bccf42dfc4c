"""Args at the API's door: what an attempt would not read back as it was sent is refused there."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from jobs import load
from service.ledger.ledger import Ledger
from service.settings import Settings
from service.tables import jobs
from tests.service.api.driving import SECRET, assert_problem, count, on_sqlite, stat, webhook
from tests.support.running import running_api
from tests.support.writing import writing

pytestmark = on_sqlite


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(settings.model_copy(update={"jobs": ["tests.support.odd_kinds"]})) as client:
        yield client


def odd(kind: str, **args: Any) -> dict[str, Any]:
    return {"kind": f"odd_{kind}", "args": args}


LONG_ADDRESS = "a," * 241 + " <ann@example.com>"  # 500 characters; quotes make it longer
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "NaN": (odd("level", level=float("nan")), ["args", "level"]),
    "infinity": (odd("level", level=float("inf")), ["args", "level"]),
    "converting": (odd("doubling", count=3), ["args", "count"]),
    "renamed": (odd("renamed", count=3), ["args", "count"]),
    "NaN beside a secret": (odd("secret", token=SECRET, level=float("nan")), ["args", "level"]),
    "URL that grows": (webhook(url="http://example.com/" + "é" * 700), ["args", "url"]),
    "keys that are the same number": (odd("numbered", lines={"1": "a", "01": "b"}), ["args", "lines"]),
    "misspelt": (odd("level", levle=1), ["args", "levle"]),
    "misspelt, in the box": (stat() | {"args": {"subject": "s", "event": "e", "cuont": 1}}, ["args", "cuont"]),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_args_that_would_not_run_as_sent_are_422_with_the_field(api: httpx.AsyncClient, case: str) -> None:
    body, loc = REFUSED[case]
    single = await api.post("/v1/jobs", content=json.dumps(body))
    batch = await api.post("/v1/jobs/batch", content=json.dumps({"jobs": [stat(), body]}))
    for answer, place in ((single, loc), (batch, ["jobs", 1, *loc])):
        problem = assert_problem(answer, 422)
        assert problem["type"] == "urn:postlude:problem:args-invalid"
        assert problem["errors"][0]["loc"] == place
        assert SECRET not in answer.text
    assert await count(api) == 0


async def test_address_that_is_written_longer_than_it_may_be_read_is_not_accepted(api: httpx.AsyncClient) -> None:
    body = {"kind": "send_email", "args": {"to": [LONG_ADDRESS], "subject": "s", "text": "t"}}
    answer = await api.post("/v1/jobs", json=body)
    if answer.status_code == 202:
        load()["send_email"].load_args(json.dumps(answer.json()["args"]))
    else:
        assert assert_problem(answer, 422)["errors"][0]["loc"][:3] == ["args", "to", 0]


async def test_validator_that_raises_anything_refuses_its_args_alone(api: httpx.AsyncClient) -> None:
    body = odd("raising", token=SECRET)
    single = await api.post("/v1/jobs", json=body)
    batch = await api.post("/v1/jobs/batch", json={"jobs": [stat(), body, odd("level", levle=1)]})
    for answer, places in ((single, [["args"]]), (batch, [["jobs", 1, "args"], ["jobs", 2, "args", "levle"]])):
        errors = assert_problem(answer, 422)["errors"]
        assert [one["loc"] for one in errors] == places
        assert "KeyError" in errors[0]["msg"]
        assert SECRET not in answer.text
    assert (await api.post("/v1/jobs", json=odd("raising", token="known"))).status_code == 202
    assert await count(api) == 1


async def test_replay_whose_args_make_a_validator_raise_is_refused(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job = (await api.post("/v1/jobs", json=odd("raising", token="known"))).json()
    await api.post(f"/v1/jobs/{job['id']}/cancel")
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).values(sealed_args='{"token":"forgotten"}'))
    problem = assert_problem(await api.post(f"/v1/jobs/{job['id']}/replay"), 422)
    assert problem["type"] == "urn:postlude:problem:args-invalid"
    assert "KeyError" in problem["detail"]


async def test_tag_that_no_member_of_a_union_has_is_no_unknown_kind(api: httpx.AsyncClient) -> None:
    body = odd("tagged", shape={"form": SECRET})
    single = await api.post("/v1/jobs", json=body)
    batch = await api.post("/v1/jobs/batch", json={"jobs": [body]})
    for answer in (single, batch):
        problem = assert_problem(answer, 422)
        assert problem["type"] == "urn:postlude:problem:args-invalid"
        told = "The tag found using 'form' does not match any of the expected tags: 'round', 'square'"
        assert problem["errors"][0]["msg"] == told
        assert SECRET not in answer.text


async def test_nearest_known_name_is_suggested(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/jobs", json=odd("level", levle=1))
    assert "did you mean 'level'?" in assert_problem(answer, 422)["errors"][0]["msg"]
    answer = await api.post("/v1/jobs/batch", json={"jobs": [odd("level", zzzz=1)]})
    assert "known are: level, note" in assert_problem(answer, 422)["errors"][0]["msg"]


async def test_openapi_and_kinds_say_that_no_other_name_is_taken(api: httpx.AsyncClient) -> None:
    schemas = (await api.get("/openapi.json")).json()["components"]["schemas"]
    assert schemas["LevelArgs"]["additionalProperties"] is False
    [kind] = [kind for kind in (await api.get("/v1/kinds")).json()["kinds"] if kind["name"] == "odd_level"]
    assert kind["args_schema"]["additionalProperties"] is False


async def test_what_is_read_back_the_same_is_accepted(api: httpx.AsyncClient) -> None:
    for body in (odd("level", level=1.5, note="n"), odd("level"), odd("doubling", count=0), odd("renamed", count=1)):
        assert (await api.post("/v1/jobs", json=body)).status_code == 202
