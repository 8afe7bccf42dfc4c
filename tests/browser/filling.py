"""A ledger worth looking at: jobs of every state, and each thing that a page can show. Every text is a payload."""

from typing import Any
from urllib.parse import quote

from tests.browser.site import FAR, XSS, Site
from tests.support.receiver import Receiver
from tests.support.running import eventually

LONG_XSS = f"</textarea></title></script></style>{XSS}<script data-xss>alert(2)</script>{{{{7*7}}}} javascript:alert(3)"
LANE = f"tenant:{XSS}"
SCHEDULE = f"nightly {XSS}"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OPTIONS: dict[str, Any] = {"tags": [XSS, "vip"], "metadata": {XSS: LONG_XSS}, "lane": LANE}
ORDER = {"customer": LONG_XSS, "note": XSS, "lines": [{"product": XSS}], "code": XSS}


async def fill(site: Site, receiver: Receiver) -> None:
    await _jobs(site)
    await _failures(site)
    await _deliveries(site, receiver)
    await _flow(site)
    await _schedules(site)
    await _rules(site)
    await _people(site)
    await _entries(site)
    await _operation(site)
    site.ids["worker"] = (await site.call("GET", "/v1/workers"))["workers"][0]["id"]

    async def counted() -> Any:
        return (await site.call("GET", "/v1/failures"))["failures"]

    groups = await eventually(counted, 90)
    site.ids["fingerprint"] = next(one["fingerprint"] for one in groups if one["kind"] == "stumble")


async def _jobs(site: Site) -> None:
    ids = site.ids
    ids["succeeded"] = await site.enqueue("pack_order", ORDER, **OPTIONS, on_end={"kind": "pack_order", "args": ORDER})
    ids["running"] = await site.enqueue("hold_on", {"note": XSS}, **OPTIONS, unique_key=XSS)
    ids["retrying"] = await site.enqueue("stumble", {"message": LONG_XSS, "again": 3600}, **OPTIONS)
    ids["scheduled"] = await site.enqueue("pack_order", ORDER, delay=7200, **OPTIONS)
    ids["queued"] = await site.enqueue("pack_order", ORDER, **OPTIONS | {"queue": FAR})
    ids["cancelled"] = await site.enqueue("pack_order", ORDER, delay=7200, **OPTIONS)
    await site.call("POST", f"/v1/jobs/{ids['cancelled']}/cancel")
    for state in ("succeeded", "running", "retrying"):
        await site.reaches(ids[state], state)


async def _failures(site: Site) -> None:
    one = {"kind": "stumble", "args": {"message": LONG_XSS}, **OPTIONS}
    made = await site.call("POST", "/v1/jobs/batch", {"jobs": [one] * 3})
    site.ids["failed"] = made["jobs"][0]["id"] if "jobs" in made else made["ids"][0]
    await site.reaches(site.ids["failed"], "failed")


async def _deliveries(site: Site, receiver: Receiver) -> None:
    """A webhook whose answer is a payload, a mail that cannot be sent, and an app's function that fails with one."""
    receiver.respond("410 Gone", LONG_XSS.encode(), content_type=f"text/html; {XSS}")
    webhook = {"url": f"{receiver.url}?{'a' * 40}", "event": "order.packed", "data": {XSS: LONG_XSS}}
    site.ids["webhook"] = await site.enqueue("send_webhook", webhook, **OPTIONS)
    await site.reaches(site.ids["webhook"], "failed")
    await site.enqueue("send_email", {"to": ["ann@example.com"], "subject": XSS, "text": LONG_XSS}, **OPTIONS)
    await site.call("PUT", "/v1/apps/shop", {"url": "http://127.0.0.1:9/", "secret": SECRET})
    site.ids["app"] = await site.enqueue("call_app", {"app": "shop", "function": "mail.send", "arguments": {"a": XSS}})
    await site.reaches(site.ids["app"], "retrying")


async def _flow(site: Site) -> None:
    pack = {"kind": "pack_order", "args": ORDER, **OPTIONS}
    members = [
        pack | {"name": f"fetch {XSS}"},
        {"name": "wait", "kind": "stumble", "args": {"again": 3600}, "after": [f"fetch {XSS}"]},
        pack | {"name": f"report {XSS}", "after": [f"fetch {XSS}", "wait"]},
    ]
    made = await site.call("POST", "/v1/flows", {"name": f"import {XSS}", "jobs": members})
    site.ids["flow"] = made["id"]
    site.ids["blocked"] = made["jobs"][f"report {XSS}"]
    await site.reaches(made["jobs"]["wait"], "retrying")


async def _schedules(site: Site) -> None:
    hourly = {"kind": "pack_order", "args": ORDER, "cron": "7 * * * *", "options": OPTIONS}
    await site.api.put(f"/v1/schedules/{_in_path(SCHEDULE)}", json=hourly)
    await site.call("POST", f"/v1/schedules/{_in_path(SCHEDULE)}/run")
    await site.call("POST", f"/v1/schedules/{_in_path(SCHEDULE)}/pause", {"reason": LONG_XSS[:200]})
    await site.call("PUT", "/v1/schedules/hourly", hourly)


async def _rules(site: Site) -> None:
    await site.call("PUT", f"/v1/lanes/{_in_path(LANE)}", {"concurrency": 4, "rate": {"limit": 10, "per": 1}})
    await site.call("PUT", f"/v1/lanes/{_in_path('held:' + XSS)}", {"breaker": "open"})
    await site.enqueue("pack_order", ORDER, lane="held:" + XSS)
    await site.call("POST", f"/v1/lanes/{_in_path(f'host:{XSS}*')}/pause")
    await site.call("POST", f"/v1/queues/{_in_path(FAR)}/pause", {"for": 3600})
    await site.call("POST", "/v1/kinds/update_stats/pause")


async def _people(site: Site) -> None:
    await site.call("POST", "/v1/keys", {"name": XSS, "scopes": ["read"], "kinds": ["pack_*"], "queues": [XSS]})


async def _entries(site: Site) -> None:
    said = {"action": f"do {XSS}", "actor": XSS, "target": XSS, "origin": {"user_agent": XSS}, "data": {XSS: LONG_XSS}}
    await site.reaches(await site.enqueue("write_audit", said), "succeeded")


async def _operation(site: Site) -> None:
    wanted = {"action": "replay", "filter": {"state": ["failed"], "kind": "stumble", "tag": XSS}, "name": XSS}
    site.ids["operation"] = (await site.call("POST", "/v1/operations", wanted))["id"]

    async def done() -> bool:
        found = await site.call("GET", f"/v1/operations/{site.ids['operation']}")
        return found["state"] not in ("pending", "counting", "running")

    await eventually(done, 90)
    await site.reaches(site.ids["failed"], "failed")


def _in_path(name: str) -> str:
    return quote(name, safe="")
