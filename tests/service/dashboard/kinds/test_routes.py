"""The pages of kinds, and the form: it enqueues what was typed, and shows what is wrong beside each field."""

import json
import re
from collections.abc import AsyncIterator
from html import unescape

import pytest

from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.service.dashboard.places import Browser, looking, words
from tests.support.keyed import closed, make_key
from tests.support.running import running_api

pytestmark = on_sqlite
FORM = "/kinds/send_email/enqueue"
SECRET = "whsec_YzRuNHJ5YzRuNHJ5YzRuNHJ5YzRuNHJ5YzRuNHJ5"


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    async with looking(settings) as browser:
        yield browser


def fields(html: str) -> dict[str, str]:
    """Return what a browser would send of the form on a page: its inputs and textareas."""
    form = html[html.index('id="enqueue"') :]
    inputs = re.findall(r'<input[^>]*? name="([^"]+)"[^>]*?value="([^"]*)"', form)
    areas = re.findall(r'<textarea[^>]*? name="([^"]+)"[^>]*>\n?(.*?)</textarea>', form, re.S)
    chosen = re.findall(r'<select[^>]*? name="([^"]+)".*?<option value="([^"]*)" selected', form, re.S)
    return {name: unescape(value) for name, value in [*inputs, *areas, *chosen] if name != "csrf"}


async def test_a_form_is_typed_in_mended_and_makes_one_job_however_often_it_is_sent(browser: Browser) -> None:
    shown = fields(await browser.page(FORM))
    assert (shown["args/to#"], shown["tags"], shown["max_attempts"]) == ("1", "by-hand", "60")
    typed = shown | {"args/to/0": "ann@example.com", "args/subject": "Hello", "args/text": "Hi\r\n<b>Ann</b>"}
    longer = await browser.send(FORM, typed | {"do": "add:args/to"})
    typed = fields(longer.text) | {"args/to/1": "ben@"}
    assert typed["args/text"] == "Hi\r\n<b>Ann</b>"
    refused = await browser.send(FORM, typed)
    assert refused.status_code == 422
    assert "There must be something after the @-sign" in words(refused.text)
    assert "Fix 1 field: to, 2" in words(refused.text)
    assert re.search(r'name="args/to/1"[^>]*aria-invalid="true" aria-describedby="args_2fto_2f1-error"', refused.text)
    mended = fields(refused.text) | {"args/to/1": "ben@example.com"}
    answers = [await browser.send(FORM, mended) for _ in range(2)]
    [path] = {answer.headers["location"] for answer in answers}
    job = await browser.call("GET", f"/v1{path}")
    wanted = {"to": ["ann@example.com", "ben@example.com"], "subject": "Hello", "text": "Hi\n<b>Ann</b>"}
    assert {name: job["args"][name] for name in wanted} == wanted
    assert (job["tags"], job["queue"]) == (["by-hand"], "default")
    assert len((await browser.call("GET", "/v1/jobs"))["jobs"]) == 1
    changed = await browser.send(FORM, mended | {"args/subject": "Another"})
    assert changed.headers["location"] != path


async def test_it_is_edited_as_json_too_and_a_preview_shows_the_request_without_secrets(browser: Browser) -> None:
    form = "/kinds/send_webhook/enqueue"
    args = {"url": "https://a.example/x", "event": "e", "data": {"n": 1}, "secret": SECRET}
    sent = {"mode": "json", "args": json.dumps(args), "id": "", "lane": "tenant:1"}
    preview = await browser.send(f"{form}/preview", sent)
    shown = words(preview.text)
    assert '"secret" : secret' in shown
    assert '"lane" : "tenant:1"' in shown
    assert "curl -X POST http://postlude/v1/jobs" in unescape(preview.text)
    as_form = await browser.send(form, sent | {"do": "form"})
    assert fields(as_form.text)["args/url"] == "https://a.example/x"
    broken = await browser.send(form, sent | {"args": "{"})
    assert broken.status_code == 422
    assert "This is not JSON" in broken.text
    made = await browser.send(form, sent)
    assert made.status_code == 303, words(made.text)
    job = await browser.call("GET", f"/v1{made.headers['location']}")
    assert (job["lane"], job["args"]["data"]) == ("tenant:1", {"n": 1})
    like = await browser.page(f"{form}?like={job['id']}")
    assert fields(like)["args/data"] == '{\n  "n": 1\n}'
    assert fields(like)["lane"] == "tenant:1"
    seen = (preview.text, as_form.text, broken.text, like)
    assert not [text for text in seen if SECRET in text]


async def test_what_others_hold_is_told_beside_the_form(browser: Browser) -> None:
    typed = fields(await browser.page("/kinds/update_stats/enqueue"))
    typed |= {"args/subject": "a", "args/event": "b", "unique_key": "one"}
    first = await browser.send("/kinds/update_stats/enqueue", typed)
    typed |= {"id": "", "args/subject": "c"}
    again = await browser.send("/kinds/update_stats/enqueue", typed)
    assert again.headers["location"] == first.headers["location"]
    past = await browser.send("/kinds/update_stats/enqueue", typed | {"priority": "11", "timeout": "x"})
    assert past.status_code == 422
    assert "Fix 2 fields: priority; timeout" in words(past.text)


async def test_kinds_are_listed_paused_and_resumed(browser: Browser) -> None:
    page = await browser.words("/kinds")
    assert "None is paused." in page
    assert "send_email Hand a message to the mail server" in page
    assert "send_email is paused until" in await browser.act("/kinds/send_email/pause", **{"for": "300"})
    assert "is paused: send_email." in await browser.words("/kinds")
    kind = await browser.words("/kinds/send_email")
    assert "It is paused by anybody until" in kind
    assert "60 attempts, 1 min, 5 min" in kind
    assert "goes on" in await browser.act("/kinds/send_email/resume")
    assert "None is paused." in await browser.words("/kinds")
    assert "There is no kind 'nowhere'" in await browser.words("/kinds/nowhere", status=404)
    assert "that can be enqueued here" in await browser.words("/kinds/nowhere/enqueue", status=404)


@pytest.mark.parametrize(("scopes", "offered"), [(["operate"], False), (["operate", "enqueue"], True)])
async def test_enqueueing_is_offered_to_those_who_may(settings: Settings, scopes: list[str], offered: bool) -> None:
    async with running_api(closed(settings)) as api:
        key = (await make_key(api, *scopes))["key"]
        assert (await api.post("/sign-in", data={"key": key})).status_code == 303
        for path in ("/", "/kinds", "/kinds/send_email", "/jobs"):
            main = (await api.get(path, headers={"accept": "text/html"})).text.partition("<main")[2]
            links = re.findall(r"<a [^>]*>.*?</a>", main, re.S)
            assert any(re.search(r"\bEnqueue\b", words(link)) for link in links) is offered, path
        assert (await api.get(FORM)).status_code == (200 if offered else 403)
