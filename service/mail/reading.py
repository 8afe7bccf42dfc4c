"""What the page of mails shows: whether they go out, and what was refused lately."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import RowMapping

from service.access.principal import Principal
from service.errors import StartRefused
from service.lane_rules import is_pattern
from service.lanes.lane_view import LaneView
from service.lanes.lanes import Lanes
from service.ledger.reads.failures import FailureGroup, groups
from service.ledger.reads.figures import Quantiles, counts_since, quantiles
from service.ledger.reads.listing import Filter, list_jobs
from service.mail.smtp_server import SmtpServer
from service.resources import Resources
from service.settings import Settings

KIND = "send_email"
_DAY = timedelta(days=1)
_EVENTS = ("enqueued", "succeeded", "failed", "retried")
_MOST_FAILED = 10
_MOST_LANES = 20


@dataclass(frozen=True, slots=True)
class MailPage:
    """`server` is where mail goes, as host and port; None: it stays in the inbox. The counts are for one day."""

    server: str | None
    lanes: Sequence[LaneView]
    counts: Mapping[str, int]
    run: Quantiles
    failures: Sequence[FailureGroup]
    failed: Sequence[RowMapping]

    @property
    def held(self) -> Sequence[LaneView]:
        return [lane for lane in self.lanes if lane.breaker.state == "open" or lane.pause is not None]

    @property
    def waiting(self) -> int:
        return sum(lane.waiting or 0 for lane in self.lanes)


async def read_mail_page(resources: Resources, lanes: Lanes, principal: Principal) -> MailPage:
    found = (await lanes.page("smtp:", "", _MOST_LANES)).lanes
    async with resources.ledger.read() as connection:
        now = await resources.ledger.database.now(connection)
        counts = await counts_since(connection, [KIND], _EVENTS, now - _DAY)
        run = (await quantiles(connection, [KIND], since=now - _DAY))[KIND, "run"]
        failed = await list_jobs(connection, Filter(kinds=(KIND,), states=("failed",)), _MOST_FAILED)
        failures = await groups(connection, since=now - _DAY, kind=KIND, limit=_MOST_FAILED)
    return MailPage(
        server=server_of(resources.settings),
        lanes=[lane for lane in found if not is_pattern(lane.key)],
        counts={event: counts[KIND, event] for event in _EVENTS},
        run=run,
        failures=failures,
        failed=[job for job in failed if principal.may_touch(job["kind"], job["queue"])],
    )


def server_of(settings: Settings) -> str | None:
    """Return the mail server of the settings, without its credentials."""
    if settings.smtp_url is None:
        return None
    url = settings.smtp_url.get_secret_value()
    try:
        server = SmtpServer.from_url(url, tls=settings.smtp_tls, ca_file=settings.smtp_ca_file)
    except StartRefused:  # no worker starts with these settings, and each logs why
        return "nowhere, for POSTLUDE_SMTP_URL cannot be used"
    return f"{server.hostname}:{server.port}"
