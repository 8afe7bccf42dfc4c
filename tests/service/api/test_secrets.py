"""What a kind marks as secret is read by its attempts and by nobody else."""

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from service.ledger.ledger import Ledger
from service.settings import Settings
from service.tables import idempotency_keys, jobs
from tests.service.api.driving import MASK, SECRET, assert_problem, begin, on_sqlite, stat, webhook
from tests.support.running import running_api

TOKEN = "Bearer nobody-may-read-this-either"


def secretive() -> dict[str, Any]:
    return webhook(secret=SECRET, headers={"Authorization": TOKEN})


def assert_hidden(text: str) -> None:
    assert SECRET not in text
    assert SECRET.removeprefix("whsec_") not in text
    assert TOKEN.removeprefix("Bearer ") not in text


async def test_secrets_are_masked_in_every_answer_and_whole_for_the_attempt(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    key = {"Idempotency-Key": "k"}
    posted = await api.post("/v1/jobs", json=secretive() | {"unique_key": "u"}, headers=key)
    assert posted.status_code == 202
    place = posted.headers["location"]
    answers = [
        posted,
        await api.post("/v1/jobs", json=secretive() | {"unique_key": "u"}, headers=key),
        await api.post("/v1/jobs", json=secretive() | {"unique_key": "u"}),
        await api.get(place),
        await api.get("/v1/jobs"),
        await api.post("/v1/jobs/batch", json={"jobs": [secretive()]}),
        await api.post(f"{place}/cancel"),
        await api.post(f"{place}/replay"),
    ]
    for answer in answers:
        assert answer.is_success, answer.text
        assert_hidden(answer.text)
    for job in (posted.json(), answers[3].json(), answers[4].json()["jobs"][0]):
        assert (job["args"]["secret"], job["args"]["headers"]) == (MASK, {"Authorization": MASK})
    args = json.loads((await begin(ledger, posted.json())).args)
    assert (args["secret"], args["headers"]["Authorization"]) == (SECRET, TOKEN)


@on_sqlite
async def test_ledger_holds_secrets_in_sealed_args_alone(api: httpx.AsyncClient, ledger: Ledger) -> None:
    await api.post("/v1/jobs", json=secretive(), headers={"Idempotency-Key": "k"})
    async with ledger.read() as connection:
        (job,) = (await connection.execute(select(jobs))).mappings()
        (key,) = (await connection.execute(select(idempotency_keys))).mappings()
    assert json.loads(job["sealed_args"])["secret"] == SECRET
    assert_hidden(str([value for name, value in job.items() if name != "sealed_args"]))
    assert_hidden(str(dict(key)))


REFUSED: dict[str, Any] = {
    "another field is bad": webhook(secret=SECRET, event="a b"),
    "the secret itself is bad": webhook(secret=SECRET[:-9] + "!"),
    "the secret has another type": webhook(secret=[SECRET]),
    "a header is bad": webhook(headers={"Authorization": f"{TOKEN}\n"}),
    "a field is unknown": webhook(secrets=SECRET),
    "an option is bad": webhook(secret=SECRET) | {"priority": 99},
    "an option holds it": stat(unique_key=SECRET * 9),
    "a tag holds it": stat(tags=[SECRET * 9]),
    "a number holds it": stat(delay=SECRET),
    "a moment holds it": stat(run_at=SECRET),
    "the kind is unknown": webhook(secret=SECRET) | {"kind": "nope"},
    "the kind holds it": {"kind": SECRET, "args": {}},
    "the queue is unknown": webhook(secret=SECRET) | {"queue": "nope"},
    "the queue holds it": stat(queue=SECRET),
    "the URL holds it": webhook(url=f"https://user:{SECRET}@example.com/"),
    "no URL": webhook(url=SECRET),
    "a bad URL": webhook(url=f"http://[{SECRET}/"),
    "args are no object": {"kind": "send_webhook", "args": SECRET},
    "NUL": webhook(secret=SECRET, data="\0"),
    "too large": webhook(secret=SECRET, data="x" * 300_000),
}


@on_sqlite
async def test_no_refusal_repeats_what_was_sent(api: httpx.AsyncClient) -> None:
    for body in REFUSED.values():
        single = await api.post("/v1/jobs", json=body)
        batch = await api.post("/v1/jobs/batch", json={"jobs": [body]})
        for answer in (single, batch):
            assert_problem(answer, 422)
            assert SECRET[6:16] not in answer.text
            assert_hidden(answer.text)
    whole = json.dumps(secretive()).encode()
    for malformed in (whole[:-1], whole[:-20], whole + b"x"):
        answer = await api.post("/v1/jobs", content=malformed)
        assert_problem(answer, 400)
        assert_hidden(answer.text)


@on_sqlite
async def test_secrets_are_not_logged_when_the_ledger_is_away(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    away = settings.model_copy(update={"database_url": f"sqlite+aiosqlite:///{settings.data_dir}/no/such.db"})
    async with running_api(away) as api:
        answer = await api.post("/v1/jobs", json=secretive(), headers={"Idempotency-Key": "k"})
    assert_problem(answer, 503)
    assert_hidden(answer.text)
    assert_hidden("".join(capfd.readouterr()))
