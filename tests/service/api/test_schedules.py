"""Schedules over HTTP."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service.lifecycle.schedules.due import DueTick
from service.lifecycle.schedules.ticking import Ticking
from tests.service.api import driving

STATS = {"subject": "s", "event": "e", "count": 1, "at": None, "id": None, "unique": None, "events": []}


def assert_problem(answer: httpx.Response, status: int, sort: str) -> None:
    assert driving.assert_problem(answer, status)["type"] == f"urn:postlude:problem:{sort}"


def wanted(**fields: Any) -> dict[str, Any]:
    return {"kind": "update_stats", "args": STATS, "cron": "0 2 * * *"} | fields


async def put(api: httpx.AsyncClient, name: str, **fields: Any) -> dict[str, Any]:
    answer = await api.put(f"/v1/schedules/{name}", json=wanted(**fields))
    return dict(answer.raise_for_status().json())


async def test_a_schedule_is_made_shown_changed_and_deleted(api: httpx.AsyncClient) -> None:
    options = {
        "queue": "default",
        "priority": 2,
        "tags": ["a"],
        "timeout": 5.0,
        "lane": {"key": "tenant:1", "concurrency": 2, "rate": {"limit": 5, "per": 1.5}},
        "metadata": {"b": 1},
    }
    whole = wanted(
        time_zone="Europe/Berlin", catch_up="all", overlap="skip", jitter=30.0, options=options,
        start="2026-01-01T00:00:00Z", end="2126-01-01T00:00:00Z",
    )  # fmt: skip
    made = await api.put("/v1/schedules/nightly%2Freport", json=whole)
    assert (made.status_code, made.json()["name"], made.json()["source"]) == (201, "nightly/report", "api")
    shown = (await api.get("/v1/schedules/nightly%2Freport")).json()
    assert shown == made.json()
    assert {name: shown[name] for name in ("time_zone", "catch_up", "overlap", "jitter", "options", "args")} == {
        name: whole[name] for name in ("time_zone", "catch_up", "overlap", "jitter", "options", "args")
    }
    assert (shown["paused"], shown["last"], shown["error"]) == (False, None, None)
    changed = await api.put("/v1/schedules/nightly%2Freport", json=wanted(cron="@hourly"))
    assert (changed.status_code, changed.json()["cron"], changed.json()["overlap"]) == (200, "@hourly", "allow")
    assert (await api.delete("/v1/schedules/nightly%2Freport")).status_code == 204
    assert_problem(await api.get("/v1/schedules/nightly%2Freport"), 404, "schedule-not-found")
    assert_problem(await api.delete("/v1/schedules/nightly%2Freport"), 404, "schedule-not-found")


@pytest.mark.parametrize("time_zone", ["UTC", "Pacific/Kiritimati"])
@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", 201),
        ("9999-12-31T23:59:59.999999Z", None, 422),
        (None, "0001-01-01T00:00:00Z", 201),
    ],
)
async def test_the_first_and_the_last_moment_of_the_calendar_harm_no_schedule(
    api: httpx.AsyncClient, start: str | None, end: str | None, status: int, time_zone: str
) -> None:
    said = wanted(cron="* * * * *", time_zone=time_zone, start=start, end=end)
    assert (await api.put("/v1/schedules/always", json=said)).status_code == status
    (await api.get("/v1/schedules")).raise_for_status()


async def test_kinds_own_schedules_are_listed_and_paused_but_not_changed(api: httpx.AsyncClient) -> None:
    [cleanup] = (await api.get("/v1/schedules")).json()["schedules"]
    assert (cleanup["name"], cleanup["source"], cleanup["cron"]) == ("cleanup", "code", "17 3 * * *")
    assert_problem(await api.put("/v1/schedules/cleanup", json=wanted()), 409, "schedule-of-code")
    assert_problem(await api.delete("/v1/schedules/cleanup"), 409, "schedule-of-code")
    paused = (await api.post("/v1/schedules/cleanup/pause")).json()
    assert (paused["paused"], paused["next"], paused["paused_reason"]) == (True, None, None)
    told = (await api.post("/v1/schedules/cleanup/pause", json={"reason": "the disk is moving"})).json()
    assert (told["paused_at"], told["paused_reason"]) == (paused["paused_at"], "the disk is moving")
    assert_problem(await api.post("/v1/schedules/cleanup/pause", json={"why": "so"}), 422, "args-invalid")
    assert len((await api.get("/v1/schedules/cleanup/next?count=3")).json()["next"]) == 3
    resumed = (await api.post("/v1/schedules/cleanup/resume")).json()
    assert (resumed["paused"], resumed["next"][10:19]) == (False, "T03:17:00")
    assert (resumed["paused_at"], resumed["paused_by"], resumed["paused_reason"]) == (None, None, None)


async def test_what_does_not_fit_is_refused_in_its_place(api: httpx.AsyncClient) -> None:
    for fields, place, problem in (
        ({"cron": "61 * * * *"}, ["cron"], "cron-expression-invalid"),
        ({"cron": "0 0 31 2 *"}, ["cron"], "cron-expression-invalid"),
        ({"time_zone": "Europe/Nowhere"}, ["time_zone"], "time-zone-invalid"),
        ({"time_zone": "Europe/Nowhere", "jitter": 3601}, ["time_zone"], "args-invalid"),
        ({"jitter": 3601}, ["jitter"], "args-invalid"),
        ({"overlap": "queue"}, ["overlap"], "args-invalid"),
        ({"options": {"delay": 5}}, ["options", "delay"], "args-invalid"),
        ({"args": {"subject": 1}}, ["args", "subject"], "args-invalid"),
        ({"start": "2026-02-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, [], "args-invalid"),
    ):
        refused = await api.put("/v1/schedules/s", json=wanted(**fields))
        assert_problem(refused, 422, problem)
        assert refused.json()["errors"][0]["loc"] == place, refused.text
    cron = (await api.put("/v1/schedules/s", json=wanted(cron="61 * * * *"))).json()
    assert (cron["title"], cron["detail"]) == (
        "Cron expression invalid",
        "The body is not valid: cron: Bad minute: '61'; it takes 0 to 59.",
    )
    zone = (await api.put("/v1/schedules/s", json=wanted(time_zone="Europe/Berln"))).json()
    assert zone["detail"].endswith("time_zone: there is no time zone 'Europe/Berln' (did you mean Europe/Berlin?).")
    assert_problem(await api.put("/v1/schedules/s", json=wanted(kind="nobody")), 422, "kind-unknown")
    assert_problem(await api.put("/v1/schedules/s", json=wanted(options={"queue": "none"})), 422, "queue-unknown")
    assert_problem(await api.put(f"/v1/schedules/{'n' * 101}", json=wanted()), 422, "schedule-invalid")
    assert (await api.get("/v1/schedules/s")).status_code == 404


async def test_the_next_ticks_are_told_also_over_a_change_of_the_clocks(api: httpx.AsyncClient) -> None:
    start = datetime.now(UTC) + timedelta(days=1)
    await put(api, "s", time_zone="Europe/Berlin", start=start.isoformat())
    ticks = [datetime.fromisoformat(one) for one in (await api.get("/v1/schedules/s/next?count=100")).json()["next"]]
    assert len(ticks) == 100
    assert ticks[0] >= start
    assert_problem(await api.get("/v1/schedules/s/next?count=101"), 422, "refused")


async def test_run_enqueues_a_job_at_once_and_tells_it_in_the_history(api: httpx.AsyncClient) -> None:
    await put(api, "s", options={"tags": ["mine"]}, jitter=3600)
    ran = (await api.post("/v1/schedules/s/run")).json()
    assert (ran["last"]["outcome"], ran["last"]["reason"]) == ("fired", "run now")
    job = (await api.get(f"/v1/jobs/{ran['last']['job_id']}")).json()
    assert (job["kind"], job["state"], job["args"]) == ("update_stats", "queued", STATS)
    assert [job["tags"][0], job["tags"][1], job["tags"][3]] == ["mine", "cron", "schedule:s"]
    await api.post("/v1/schedules/s/pause")
    await api.post("/v1/schedules/s/run")
    first = (await api.get("/v1/schedules/s/ticks?limit=1")).json()
    rest = (await api.get("/v1/schedules/s/ticks", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert (rest["ticks"], rest["next_cursor"]) == ([ran["last"]], None)
    assert_problem(await api.post("/v1/schedules/nobody/run"), 404, "schedule-not-found")
    metrics = (await api.get("/metrics")).text
    assert 'postlude_ticks_total{outcome="fired"} 2.0' in metrics


async def test_run_shows_its_own_tick_even_if_another_comes_right_after(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(api, "s")
    tick = Ticking.tick

    async def tick_and_another(self: Ticking, due: Sequence[DueTick], now: datetime) -> frozenset[str]:
        deferred = await tick(self, due, now)
        await tick(self, [one._replace(due_at=one.due_at + timedelta(microseconds=1)) for one in due], now)
        return deferred

    monkeypatch.setattr(Ticking, "tick", tick_and_another)
    ran = (await api.post("/v1/schedules/s/run")).json()
    _, own = (await api.get("/v1/schedules/s/ticks")).json()["ticks"]
    assert ran["last"] == own


async def test_pages_of_schedules_go_by_name(api: httpx.AsyncClient) -> None:
    for name in ("b", "a", "d", "é", "Z"):
        await put(api, name)
    names: list[str] = []
    cursor = None
    while True:
        page = (await api.get("/v1/schedules", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        names += [one["name"] for one in page["schedules"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert names == ["Z", "a", "b", "cleanup", "d", "é"]


async def test_incident_a_secret_of_the_args_is_read_through_no_schedule(api: httpx.AsyncClient) -> None:
    """Hatchet GHSA-hf2m-86fv-rjw5: hidden arguments could be read through crons."""
    args = driving.webhook()["args"] | {"secret": driving.SECRET}
    body = wanted(kind="send_webhook", args=args)
    told = [await api.put("/v1/schedules/s", json=body), await api.post("/v1/schedules/s/run")]
    told += [await api.get(f"/v1/schedules{path}") for path in ("", "/s", "/s/ticks", "/s/next")]
    job_id = told[1].json()["last"]["job_id"]
    told += [await api.get(f"/v1/jobs/{job_id}"), await api.get("/"), await api.get("/metrics")]
    assert all(answer.is_success for answer in told)
    assert told[0].json()["args"]["secret"] == driving.MASK
    assert not [answer.text for answer in told if driving.SECRET in answer.text]
