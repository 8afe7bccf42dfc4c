"""The jobs of a day, at random, the same each time: webhooks, mails, counters, an app's functions."""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from service.demo.staff import DAY
from service.demo.story import Author, Story, step_of
from service.demo.troubles import (
    Line,
    Trouble,
    crm_away,
    gone,
    server_error,
    unknown_recipient,
    unreadable_image,
)

JOBS = 5_000
# By this time no attempt is under way any more.
_QUIET = timedelta(seconds=45)
_PEAK_HOUR = 15
ORDERS, CRM, BILLING = "hooks.orders.example.com", "crm.example.com", "billing.example.com"
# The receiver of orders has been down since then; `waiting` makes the jobs for it.
ORDERS_DOWN = timedelta(minutes=24)
CRM_DOWN = (timedelta(hours=7, minutes=40), timedelta(hours=7))
_EVENTS = ("order.paid", "order.shipped", "invoice.created", "customer.updated")
_PAGES = ("home", "pricing", "checkout", "docs")


class Day:
    """Makes the jobs of the day, and what became of them."""

    def __init__(self, author: Author) -> None:
        self._author = author
        self._now = author.staff.now
        # The day must look real, and be the same each time.
        self._random = Random(14)  # noqa: S311  # nosec B311
        self._tellers: dict[Callable[[datetime], Story | None], float] = {
            self._counter: 36,
            self._webhook: 33,
            self._mail: 20,
            self._welcome: 5,
            self._image: 6,
            self._crm: 2.5,
        }

    def stories(self) -> Iterator[Story]:
        """Yield the jobs in the order in which they were enqueued."""
        tellers, weights = list(self._tellers), list(self._tellers.values())
        for at in self._times():
            [tell] = self._random.choices(tellers, weights)
            if (story := tell(at)) is not None:
                yield story

    def _times(self) -> list[datetime]:
        """Return when jobs are enqueued: more in the afternoon than at night."""
        times: list[datetime] = []
        while len(times) < JOBS:
            at = self._now - DAY + (DAY - _QUIET) * self._random.random()
            hour = at.hour + at.minute / 60
            load = 0.6 + 0.4 * math.cos((hour - _PEAK_HOUR) * math.tau / 24)
            if self._random.random() < load:
                times.append(step_of(at) - timedelta(milliseconds=self._random.lognormvariate(3.6, 0.9)))
        return sorted(times)

    def _took(self, usual_s: float) -> float:
        return self._random.lognormvariate(math.log(usual_s), 0.5)

    def _happens(self, share: float) -> bool:
        return self._random.random() < share

    def _play(
        self,
        story: Story,
        usual_s: float,
        result: Any,
        trouble: Trouble | None = None,
        *,
        fails: Callable[[datetime], bool] = lambda _: True,
        lines: Sequence[Line] = (),
    ) -> Story:
        """Let a job be tried until it ends: either `trouble` has passed by then, or it has ended the job."""
        while not story.is_over:
            at = story.next_at
            if trouble is not None and fails(at):
                self._author.fail(story, at, trouble, self._took(usual_s))
                if story.is_over or story.next_at < self._now - _QUIET:
                    continue
                story.attempts.pop()  # the next attempt would come after the day
            self._author.succeed(story, at, self._took(usual_s), result, lines)
        return story

    def _counter(self, at: datetime) -> Story:
        args = {"subject": f"page-{self._random.choice(_PAGES)}", "event": "view"}
        return self._play(self._author.story("update_stats", args, at), 0.004, {"counted": True, "at": at})

    def _webhook(self, at: datetime) -> Story | None:
        [host] = self._random.choices((ORDERS, CRM, BILLING), (5, 3, 3))
        if host == ORDERS and at > self._now - ORDERS_DOWN:
            return None
        number = self._random.randrange(4000, 5000)
        data = {"order": number, "total": self._random.randrange(900, 40_000) / 100}
        args = {"url": f"https://{host}/events", "event": self._random.choice(_EVENTS), "data": data}
        story = self._author.story("send_webhook", args, at, tags=[f"order:{number}"])
        answer = {"status": 200, "duration_ms": round(self._took(0.12) * 1000), "response_excerpt": "ok"}
        result = answer | {"response_truncated": False}
        if host == BILLING and self._happens(0.012):
            return self._play(story, 0.05, result, gone(host))
        trouble = server_error(host, 502, "Bad Gateway") if self._happens(0.02) else None
        return self._play(story, 0.12, result, trouble, fails=lambda _: self._happens(0.6))

    def _mail(self, at: datetime) -> Story:
        number = self._random.randrange(1000, 9000)
        address = f"customer-{number}@example.com"
        args = {"to": [address], "subject": f"Your order {number}", "text": "Thank you. It is on its way."}
        story = self._author.story("send_email", args, at, tags=["receipt"])
        result = {"message_id": f"<{story.job.id}@shop.example.com>", "accepted": [address], "refused": {}}
        return self._play(story, 0.35, result, unknown_recipient(address) if self._happens(0.025) else None)

    def _call(self, at: datetime, function: str, **arguments: Any) -> Story:
        args = {"app": "shop", "function": function, "arguments": arguments}
        return self._author.story("call_app", args, at)

    def _welcome(self, at: datetime) -> Story:
        email = f"customer-{self._random.randrange(9000)}@example.com"
        lines = [("info", "looking up the customer", {}), ("info", "welcome sent", {"to": email})]
        return self._play(self._call(at, "mail.send_welcome", email=email), 0.2, f"sent to {email}", lines=lines)

    def _image(self, at: datetime) -> Story:
        """Make the jobs of a function that the deploy has broken for some images."""
        name = f"photo-{self._random.randrange(10_000)}.jpg"
        trouble = unreadable_image(name) if at > self._author.staff.deployed and self._happens(0.6) else None
        return self._play(
            self._call(at, "images.resize_image", name=name, width=640), 1.4, {"width": 640, "height": 480}, trouble
        )

    def _crm(self, at: datetime) -> Story:
        """Make the jobs of a function that fails while the CRM is down."""
        since, until = (self._now - ago for ago in CRM_DOWN)
        story = self._call(at, "crm.sync_customer", customer=self._random.randrange(9000))
        return self._play(story, 2.0, {"pushed": True}, crm_away(), fails=lambda at: since < at < until)
