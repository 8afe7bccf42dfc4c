"""Jobs that have not ended: webhooks to a receiver that is down, and a campaign that is paused.

All of them wait in held lanes, so no worker ever sends any of them.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from service.demo.day import ORDERS, ORDERS_DOWN
from service.demo.story import Author, Story, just_before_claim
from service.demo.troubles import refused_connection
from service.options import Options

ORDERS_LANE = f"host:{ORDERS}"
CAMPAIGN_LANE = "campaign:winter"
CAMPAIGN_TAG = "newsletter"
# When somebody held the lane: jobs enqueued before have been tried, and have failed.
_HELD = timedelta(minutes=18)
_COMES_EVERY = timedelta(seconds=14)
_QUEUED, _SCHEDULED = 24, 36


def waiting_for_orders(author: Author) -> Iterator[Story]:
    """Yield the webhooks since the receiver went down, tried a few times until the lane was held."""
    rng, now = Random(24), author.staff.now  # noqa: S311  # nosec B311 - it is to look real
    at = now - ORDERS_DOWN
    while at < now - timedelta(seconds=25):
        data = {"order": rng.randrange(5000, 6000), "total": rng.randrange(900, 40_000) / 100}
        args = {"url": f"https://{ORDERS}/events", "event": "order.paid", "data": data}
        story = author.story("send_webhook", args, just_before_claim(at), tags=[f"order:{data['order']}"])
        while story.next_at < now - _HELD:
            author.fail(story, story.next_at, refused_connection(ORDERS), 0.02)
        yield story
        at += _COMES_EVERY * rng.uniform(0.4, 1.6)


def campaign(author: Author) -> Iterator[Story]:
    """Yield the mails of a campaign that somebody has paused: some are due, most are for tomorrow."""
    now = author.staff.now
    tomorrow = (now + timedelta(days=1)).replace(hour=8, minute=0, second=0, microsecond=0)
    for number in range(_QUEUED + _SCHEDULED):
        at = now - timedelta(hours=2) + timedelta(seconds=number)
        yield _mail(author, number, at, None if number < _QUEUED else tomorrow + timedelta(minutes=number))


def _mail(author: Author, number: int, at: datetime, run_at: datetime | None) -> Story:
    args = {"to": [f"reader-{number}@example.com"], "subject": "Our winter catalogue", "text": "It is here."}
    options = Options(run_at=run_at, lane=CAMPAIGN_LANE)
    return author.story("send_email", args, at, tags=[CAMPAIGN_TAG], options=options)
