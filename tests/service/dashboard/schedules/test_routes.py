"""The pages of schedules: in words, with what became of their ticks; paused, run, made, changed and deleted there."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from service.access_tables import trail
from service.schedule_tables import schedules
from service.settings import Settings
from service.tables import jobs, ticks
from tests.service.dashboard.places import Browser, looking
from tests.support.writing import writing

STATS = {"subject": "s", "event": "e", "count": 1, "at": None, "id": None, "unique": None, "events": []}
SECRET = "whsec_c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWUtaGVyZSE="


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    async with looking(settings) as browser:
        yield browser


async def put(browser: Browser, name: str, **fields: Any) -> None:
    body = {"kind": "update_stats", "args": STATS, "cron": "30 4 * * *"} | fields
    await browser.call("PUT", f"/v1/schedules/{name}", body)


async def tick(
    browser: Browser, name: str, ago: timedelta, outcome: str = "fired", reason: str | None = None, **job: Any
) -> None:
    """Record a tick and, for a fired one, its job in the given state."""
    due_at = datetime.now(UTC) - ago
    job_id = None
    if outcome == "fired":
        job_id = (await browser.call("POST", "/v1/jobs", {"kind": "update_stats", "args": STATS}))["id"]
    async with writing(browser.ledger.database) as connection:
        values = {"kind": name, "due_at": due_at, "cron": "* * * * *", "outcome": outcome, "reason": reason}
        await connection.execute(insert(ticks).values(job_id=job_id, **values))
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(**{"priority": 0, **job}))


async def test_schedules_are_told_in_words_with_their_ticks_and_why_one_was_skipped(browser: Browser) -> None:
    now = datetime.now(UTC)
    await put(browser, "nightly <b>", time_zone="Europe/Berlin")
    await put(browser, "often", cron="*/5 * * * *")
    await tick(
        browser,
        "often",
        timedelta(hours=2),
        state="succeeded",
        started_at=now - timedelta(seconds=70),
        finished_at=now - timedelta(seconds=62),
    )
    await tick(browser, "often", timedelta(hours=1), "skipped", "job 0123, of an earlier tick, had not ended")
    await tick(browser, "often", timedelta(minutes=5), state="failed", error_message="row 12 is odd", finished_at=now)
    said = await browser.words("/schedules")
    assert "All 3 schedules tick." in said  # with the kinds' own
    assert "nightly <b> update_stats Every day at 04:30 30 4 * * * · Europe/Berlin" in said
    assert "often update_stats Every 5 minutes" in said
    assert re.search(r"failed (just now|\d+ s ago): row 12 is odd; skipped", said)
    assert ", as the job of an earlier tick still ran" in said
    assert "cleanup cleanup · set in code Every day at 03:17" in said
    assert 'aria-label="Last 3 ticks: 1 succeeded, 1 skipped, 1 failed"' in await browser.page("/schedules")
    one = await browser.words("/schedules/often")
    assert "Every 5 minutes (UTC). Next in" in one
    assert "In the last 24 hours 2 ticks became jobs, 1 was skipped, none were missed." in one
    skipped = r"skipped \w{3} \d+ \w{3} \d{4}, \d\d:\d\d:\d\d UTC, as the job of an earlier tick still ran"
    assert re.search(rf"Its latest job failed (just now|\d+ s ago): row 12 is odd; {skipped}", one)
    assert "succeeded" in one
    assert "8 s" in one
    assert "the job of an earlier tick still ran" in one


async def test_a_schedule_in_a_zone_that_does_not_exist_hides_no_other(browser: Browser) -> None:
    await put(browser, "lost")
    await put(browser, "fine", cron="*/5 * * * *")
    async with writing(browser.ledger.database) as connection:
        await connection.execute(update(schedules).where(schedules.c.name == "lost").values(time_zone="Mars/Olympus"))
    await tick(browser, "lost", timedelta(minutes=5), "missed", "no worker ran")
    said = await browser.words("/schedules")
    assert "fine update_stats Every 5 minutes" in said
    assert "1 cannot run" in said
    assert "Mars/Olympus" in await browser.words("/schedules/lost")


async def test_a_schedule_is_paused_with_a_reason_resumed_and_run_and_the_trail_tells_it(browser: Browser) -> None:
    await put(browser, "a/b")
    told = await browser.act("/schedules/a%2Fb/pause", reason="the source is moving")
    assert "a/b is paused." in told
    assert "“the source is moving”" in await browser.words("/schedules")
    assert "2 of 2 schedules" not in await browser.words("/schedules")
    assert "1 of 2 schedules ticks; 1 is paused." in await browser.words("/schedules")
    paused = r"It is paused by anybody, (just now|\d+ s ago): “the source is moving”\."
    assert re.search(paused, await browser.words("/schedules/a%2Fb"))
    assert "a/b runs now, out of turn." in await browser.act("/schedules/a%2Fb/run")
    assert "run now" in await browser.words("/schedules/a%2Fb")
    assert "a/b ticks again." in await browser.act("/schedules/a%2Fb/resume")
    async with browser.ledger.read() as connection:
        rows = (await connection.execute(select(trail).order_by(trail.c.id))).mappings().all()
    acts = [
        (row["action"], row["ending"]) for row in rows if row["target"] == "a/b" and row["target_type"] == "schedule"
    ]
    assert acts[-3:] == [("pause", "done"), ("run", "done"), ("resume", "done")]
    assert "the source is moving" in rows[-3]["after"]


async def test_a_schedule_is_made_changed_and_deleted_by_forms_that_say_what_is_wrong(browser: Browser) -> None:
    form = {"name": "n", "is_new": "yes", "kind": "update_stats", "cron": "61 * * * *", "time_zone": "UTC", "args": "{"}
    refused = await browser.send("/schedule-form", form)
    assert refused.status_code == 422
    assert "It is not JSON" in refused.text
    refused = await browser.send("/schedule-form", form | {"args": '{"subject": 7}'})
    assert "Bad minute" in refused.text
    args = '{"subject": "s", "event": "e"}'
    good = form | {
        "args": args,
        "cron": "0 9 * * 3",
        "overlap": "skip",
        "catch_up": "none",
        "jitter": "5",
        "options": '{"priority": 2}',
    }
    made = await browser.send("/schedule-form", good)
    assert (made.status_code, made.headers["location"]) == (303, "/schedules/n")
    schedule = await browser.call("GET", "/v1/schedules/n")
    assert {name: schedule[name] for name in ("cron", "overlap", "catch_up", "jitter", "options")} == {
        "cron": "0 9 * * 3", "overlap": "skip", "catch_up": "none", "jitter": 5.0, "options": {"priority": 2},
    }  # fmt: skip
    assert "There is already a schedule &#39;n&#39;" in (await browser.send("/schedule-form", good)).text
    edit = await browser.page("/schedule-form?name=n")
    assert "0 9 * * 3" in edit
    assert "Every Wednesday at 09:00" in edit
    changed = await browser.send("/schedule-form", good | {"is_new": "no", "cron": "@daily"})
    assert changed.status_code == 303
    assert (await browser.call("GET", "/v1/schedules/n"))["cron"] == "@daily"
    assert (await browser.send("/schedules/n/delete", {})).status_code == 303
    await browser.page("/schedules/n", status=404)
    refused = await browser.send("/schedules/cleanup/delete", {}, HX_Request="true")
    assert refused.status_code == 409


async def test_an_expression_is_explained_while_it_is_written(browser: Browser) -> None:
    said = await browser.page("/schedule-form/when?cron=30+4+*+*+MON-FRI&time_zone=Europe/Berlin")
    assert "Monday to Friday at 04:30" in said
    assert said.count("<li>") == 5
    assert len(re.findall(r", 04:30 CES?T <", said)) == 5
    assert "Monday to Friday at 04:30</b> (Europe/Berlin)" in said
    assert "Every day at 03:17 (UTC)." in await browser.words("/schedules/cleanup")
    assert len(re.findall(r", 03:17 UTC in ", await browser.words("/schedules/cleanup"))) == 5
    assert "Bad hour" in await browser.page("/schedule-form/when?cron=0+25+*+*+*")
    assert "no time zone" in await browser.page("/schedule-form/when?cron=@daily&time_zone=Mars")


async def test_secrets_outlive_a_change_of_the_time_and_no_other(browser: Browser) -> None:
    args = {"url": "https://hooks.example.com/", "event": "e", "data": None, "secret": SECRET}
    await put(browser, "hook", kind="send_webhook", args=args)
    edit = await browser.page("/schedule-form?name=hook")
    assert SECRET not in edit
    shown = (await browser.call("GET", "/v1/schedules/hook"))["args"]
    form = {"name": "hook", "is_new": "no", "kind": "send_webhook", "cron": "@hourly", "time_zone": "UTC"}
    kept = await browser.send("/schedule-form", form | {"args": json.dumps(shown)})
    assert kept.status_code == 303, kept.text
    await browser.act("/schedules/hook/run")
    async with browser.ledger.read() as connection:
        sealed = (
            await connection.execute(select(jobs.c.sealed_args).where(jobs.c.kind == "send_webhook"))
        ).scalar_one()
    assert SECRET in sealed
    elsewhere = shown | {"url": "https://elsewhere.example.com/"}
    refused = await browser.send("/schedule-form", form | {"args": json.dumps(elsewhere)})
    assert refused.status_code == 422
    assert "Type the secrets again" in refused.text
