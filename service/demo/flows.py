"""Three flows of an order: one is done, one is held up by a lane, one has failed."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from service.demo.day import BILLING, ORDERS
from service.demo.story import Author, Story, id_at
from service.demo.troubles import Trouble, card_declined
from service.ledger.models import NewFlow

DONE, UNDER_WAY, FAILED = timedelta(hours=5), timedelta(minutes=11), timedelta(hours=2)
# How long after one job the next one begins.
_NEXT = timedelta(seconds=2)


class ToldFlow(NamedTuple):
    flow: NewFlow
    stories: list[Story]


def flows(author: Author) -> Iterator[ToldFlow]:
    """Yield the flows."""
    now = author.staff.now
    yield _order(author, 4711, now - DONE, BILLING, reached=6)
    yield _order(author, 4802, now - UNDER_WAY, ORDERS, reached=3)
    yield _order(author, 4765, now - FAILED, BILLING, reached=1, trouble=card_declined())


def _order(
    author: Author, number: int, at: datetime, host: str, *, reached: int, trouble: Trouble | None = None
) -> ToldFlow:
    """Make the flow of an order whose first jobs were performed; with `trouble`, the job after them has failed."""
    flow = NewFlow(id_at(at), at, f"order-{number}")
    by_name: dict[str, Story] = {}
    for name, (kind, args, after) in _steps(number, host).items():
        parents = tuple(by_name[parent].job.id for parent in after)
        by_name[name] = author.story(
            kind, args, at, tags=[f"order:{number}"], flow=flow.id, flow_name=name, after=parents
        )
    stories = list(by_name.values())
    due = at
    for story in stories[:reached]:
        due += _NEXT
        author.succeed(story, due, _NEXT.total_seconds() * 0.8, {"order": number})
    if trouble is not None:
        author.fail(stories[reached], due + _NEXT, trouble, 0.6)
        for story in stories[reached + 1 :]:
            story.cancelled_at = stories[reached].attempts[-1].ended_at
    return ToldFlow(flow, stories)


def _steps(number: int, host: str) -> Mapping[str, tuple[str, Mapping[str, Any], tuple[str, ...]]]:
    def call(function: str) -> Mapping[str, Any]:
        return {"app": "shop", "function": function, "arguments": {"order": number}}

    mail = {"to": ["ann@example.com"], "subject": f"Your order {number}", "text": "Thank you."}
    webhook = {"url": f"https://{host}/events", "event": "order.paid", "data": {"order": number}}
    count = {"subject": "shop", "event": "order"}
    return {
        "reserve": ("call_app", call("stock.reserve"), ()),
        "charge": ("call_app", call("payments.charge_card"), ("reserve",)),
        "receipt": ("send_email", mail, ("charge",)),
        "tell": ("send_webhook", webhook, ("charge",)),
        "ship": ("call_app", call("stock.ship"), ("tell", "receipt")),
        "count": ("update_stats", count, ("ship",)),
    }
