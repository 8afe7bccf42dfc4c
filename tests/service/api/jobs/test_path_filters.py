from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service.ledger.reads import searching
from tests.service.api.driving import assert_problem, on_sqlite, post, stat, webhook

ODD = {
    "tenant": {"id": 7, "name": "Zoë & Co", "admin": True, "boss": None},
    "app.version": "1.2",
    "list": [{"sku": "a"}, "007", 7],
    "a=b": {"c d": "%_'\"\\"},
    "x": "'; DROP TABLE jobs; --",
    "deep": {"er": {"est": {"of": {"all": 1}}}},
}


async def found(api: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await api.get("/v1/jobs", params={name.replace("__", "."): value for name, value in params.items()})
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("tenant.id", "7"),
        ("tenant.name", "Zoë & Co"),
        ("tenant.admin", "true"),
        ("tenant.boss", "null"),
        ("app.version", "1.2"),
        ("app.version", '"1.2"'),
        ("list.0.sku", "a"),
        ("list.1", "007"),
        ("list.2", "7"),
        ("a=b.c d", "%_'\"\\"),
        ("x", "'; DROP TABLE jobs; --"),
        ("deep.er.est.of.all", "1"),
    ],
)
@on_sqlite
async def test_a_job_is_found_by_what_stands_at_a_path(api: httpx.AsyncClient, path: str, value: str) -> None:
    job = await post(api, metadata=ODD)
    await post(api, metadata={"other": 1})
    await post(api)
    assert await found(api, **{f"metadata.{path}": value}) == [job["id"]]
    assert await found(api, **{f"metadata.{path}": f"{value}x"}) == []
    assert await found(api, **{f"args.{path}": value}) == []


async def test_conditions_and_indexed_filters_must_all_hold(api: httpx.AsyncClient) -> None:
    one = await post(api, subject="one", metadata={"tenant": "a"}, tags=["t"])
    two = await post(api, subject="two", metadata={"tenant": "a"})
    await post(api, subject="two", metadata={"tenant": "b"})
    assert await found(api, metadata__tenant="a") == [two["id"], one["id"]]
    assert await found(api, metadata__tenant="a", args__subject="two") == [two["id"]]
    assert await found(api, metadata__tenant="a", tag="t") == [one["id"]]
    assert await found(api, metadata__tenant="a", tag="t", args__subject="two") == []
    assert await found(api, metadata__tenant="a", q="TWO", order="asc") == [two["id"]]
    after = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert await found(api, metadata__tenant="a", created_after=after, state="queued") == [two["id"], one["id"]]
    assert await found(api, metadata__tenant="a", finished_after=after) == []


async def test_secrets_are_found_neither_by_their_path_nor_by_text(api: httpx.AsyncClient) -> None:
    secret = "whsec_" + "QUJD" * 8
    await api.post("/v1/jobs", json=webhook(secret=secret))
    assert await found(api, args__secret=secret) == []
    assert await found(api, q=secret) == []
    assert await found(api, q="127.0.0.1") != []


async def test_the_answer_says_how_far_it_has_looked_and_the_cursor_goes_on(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MOST_SEARCHED", 100)
    first = await post(api, subject="needle")
    (await api.post("/v1/jobs/batch", json={"jobs": [stat()] * 250})).raise_for_status()
    last = await post(api, subject="needle")
    params: dict[str, Any] = {"args.subject": "needle"}
    pages = []
    while True:
        page = (await api.get("/v1/jobs", params=params)).json()
        pages.append((page["searched"], [job["id"] for job in page["jobs"]]))
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert pages == [(100, [last["id"]]), (100, []), (52, [first["id"]])]
    params = {"args.subject": "needle", "limit": 1}
    page = (await api.get("/v1/jobs", params=params)).json()
    assert (page["searched"], [job["id"] for job in page["jobs"]]) == (1, [last["id"]])
    assert "searched" not in (await api.get("/v1/jobs")).json()


@on_sqlite
async def test_a_page_of_large_jobs_goes_on_behind_the_last_that_it_shows(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.ledger.reads.pages.PAGE_BYTES", 250_000)
    large = [webhook(data=f"{n}{'x' * 100_000}") for n in range(7)]
    made = [(await api.post("/v1/jobs", json=body)).json()["id"] for body in large]
    shown, params = [], {"q": "xxx", "expand": "attempts"}
    while True:
        page = (await api.get("/v1/jobs", params=params)).json()
        shown.append([job["id"] for job in page["jobs"]])
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert [one for some in shown for one in some] == made[::-1]
    assert max(map(len, shown)) == 3


@on_sqlite
@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("args.=1", "args."),
        ("args..a=1", "without a name"),
        ("args.a.=1", "without a name"),
        ("arguments.a=1", "arguments.a"),
        ("args=1", "args"),
        ("args.a=1&args.a=2", "Send it once"),
        ("args.%00=1", "NUL"),
        ("args.a=%00", "NUL"),
        ("q=%00", "NUL"),
        ("q=", "q"),
        ("q=" + "x" * 1001, "q"),
        ("args.a=" + "x" * 1001, "longer than"),
        ("args." + "a" * 256 + "=1", "255 characters"),
        ("args." + ".".join("abcdefghijk") + "=1", "10 steps"),
        ("&".join(f"args.{n}=1" for n in range(11)), "At most 10"),
        ("metadata.a=1&cursor=x", "cursor"),
    ],
)
async def test_what_is_no_filter_is_refused(api: httpx.AsyncClient, query: str, told: str) -> None:
    problem = assert_problem(await api.get(f"/v1/jobs?{query}"), 422)
    assert told.lower() in str(problem).lower()


@on_sqlite
@pytest.mark.parametrize("value", ["9" * 1000, "[" * 1000, "1e999", "-0", "\\", "NaN", "'", '"', "\u202e", "🙂" * 200])
async def test_odd_values_are_no_errors(api: httpx.AsyncClient, value: str) -> None:
    job = await post(api, metadata={"v": value, "n": 2**70})
    assert await found(api, metadata__v=value) == [job["id"]]
    assert await found(api, metadata__n=value) == []
    assert await found(api, metadata__n=str(2**70)) == [job["id"]]
