"""The pages of failures: what fails, whether it grows, how many jobs it cost; and a group's replay as an operation."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic_core import from_json
from sqlalchemy import insert

from service.figure_tables import failure_counts, failure_groups
from service.settings import Settings
from tests.service.dashboard.places import Browser, looking
from tests.support.many_jobs import make_jobs
from tests.support.writing import writing

RECEIPTS, HOOKS = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    async with looking(settings) as browser:
        yield browser


async def fails(
    browser: Browser,
    fingerprint: str,
    kind: str,
    error: tuple[str, str, str | None],
    *counts: tuple[timedelta, int, int],
    **more: Any,
) -> None:
    """Record a group; `counts` are (how long ago, failures, jobs failed)."""
    async with browser.ledger.read() as connection:
        now = await browser.ledger.database.now(connection)
    error_type, message, place = error
    first = max(ago for ago, *_ in counts)
    group = {"kind": kind, "error_type": error_type, "message": message, "place": place, "first_at": now - first}
    async with writing(browser.ledger.database) as connection:
        await connection.execute(insert(failure_groups).values(fingerprint=fingerprint, writer="w", **group))
        for ago, failures, jobs_failed in counts:
            at = (now - ago).replace(second=0, microsecond=0)
            values = {"failures": failures, "jobs_failed": jobs_failed, "latest_at": now - ago, **more}
            await connection.execute(
                insert(failure_counts).values(bucket_at=at, fingerprint=fingerprint, writer="w", **values)
            )


async def some_groups(browser: Browser) -> None:
    hour = timedelta(hours=1)
    await fails(
        browser, RECEIPTS, "shop.send_receipt", ("KeyError", "'currency'", "shop/receipts.py:41"), (3 * hour, 900, 120)
    )
    await fails(
        browser,
        HOOKS,
        "send_webhook",
        ("ReceiverFailed", "HTTP 500: <b>no</b>", "verdict.py:57"),
        (timedelta(minutes=2), 90, 0),
        destination="host:hooks.example.com",
    )
    await make_jobs(browser.ledger, 120, fingerprint=RECEIPTS, error_message="'currency'")


async def test_groups_are_told_with_their_growth_and_what_they_cost(browser: Browser) -> None:
    assert "Nothing failed in the last 24 hours." in await browser.words("/failures")
    await some_groups(browser)
    unmatched = await browser.words("/failures?q=zzz")
    assert "No failures in the last 24 hours match." in unmatched
    assert "Nothing failed" not in unmatched
    said = await browser.words("/failures")
    assert (
        "One group is growing: HTTP 500: <b>no</b>. 2 groups failed in the last 24 hours; 120 jobs ended by them,"
        " including jobs replayed since." in said
    )
    assert (
        "KeyError: 'currency' shop.send_receipt · KeyError at shop/receipts.py:41 900 120 3 h ago 3 h ago Replay…"
        in said
    )
    assert "growing · send_webhook · ReceiverFailed at verdict.py:57, hooks.example.com 90 0" in said
    html = await browser.page("/failures")
    assert html.index(RECEIPTS) < html.index(HOOKS)
    assert 'aria-label="Failures per 48 min, in the last 24 hours"' in html
    latest_first = await browser.page("/failures?sort=latest_at")
    assert latest_first.index(f"group-{HOOKS}") < latest_first.index(f"group-{RECEIPTS}")
    narrow = await browser.words("/failures?kind=send_webhook&q=http+500&since=1h")
    assert "1 group failed in the last 1 hour" in narrow
    assert "receipts.py" not in narrow
    assert "No failures in the last 1 hour match" in await browser.words("/failures?since=1h&q=zzz")
    await browser.page("/failures?since=2h", status=422)


async def test_a_group_shows_its_jobs_and_what_they_have_in_common(browser: Browser) -> None:
    await some_groups(browser)
    said = await browser.words(f"/failures/{RECEIPTS}")
    assert "It is not growing. 900 failures in the last 24 hours, first seen 3 h ago, last seen 3 h ago." in said
    assert "120 jobs failed for good with it." in said
    assert "Replay 120 failed…" in said
    assert "Its failed jobs 120 now" in said
    hooks = await browser.words(f"/failures/{HOOKS}?since=1h")
    assert "It is growing: 90 failures in the last 10 min." in hooks
    assert "None of its jobs has failed" in hooks
    assert "Destination host:hooks.example.com" in hooks
    await browser.page("/failures/none", status=404)


async def test_a_group_is_replayed_at_a_pace_under_a_name_once_its_number_is_typed(browser: Browser) -> None:
    await some_groups(browser)
    path = f"/failures/{RECEIPTS}/replay"
    dialog = (await browser.client.get(path, headers={"HX-Request": "true"})).text
    assert "Replay 120 jobs?" in dialog
    assert "<dialog" in dialog
    page = await browser.page(path)
    assert "failed, shop.send_receipt, KeyError" in page
    assert "2.4 s at 50 a second" in page
    sent = page.split('name="filter" value="')[1].split('"')[0].replace("&#34;", '"')
    form = {"action": "replay", "filter": sent, "count": "120", "rate": "20", "name": "after the fix"}
    assert (await browser.send("/jobs/bulk", form, HX_Request="true")).status_code == 422
    assert "Replaying 120 jobs." in await browser.act("/jobs/bulk", **form, confirm="120")
    [operation] = (await browser.call("GET", "/v1/operations"))["operations"]
    assert (operation["name"], operation["rate"], operation["action"]) == ("after the fix", 20, "replay")
    assert operation["filter"] == from_json(sent)
    said = await browser.words("/failures")
    assert "An operation is replaying the largest group." in said
    assert "after the fix counting replay · failed, shop.send_receipt, KeyError" in said
    assert "after the fix" in await browser.words(f"/failures/{RECEIPTS}")
    none = await browser.client.get(f"/failures/{HOOKS}/replay", headers={"HX-Request": "true"})
    assert "None of its jobs has failed" in none.text
