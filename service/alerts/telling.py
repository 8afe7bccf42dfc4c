"""The words of an alert, as the args of the jobs that report it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from service.insight.troubles import Trouble
from service.insight.words import plain
from service.ledger.records.alerts import Alert

EVENT_BEGAN, EVENT_OVER = "postlude.alert", "postlude.alert_over"


class Errand(NamedTuple):
    """A job that tells somebody of something."""

    kind: str
    args: dict[str, Any]


def errands(
    targets: Sequence[str], alert: Alert, trouble: Trouble | None, *, now: datetime, where: str, why_directly: str = ""
) -> list[Errand]:
    """Return an errand for each target of an alert. `why_directly` says why it bypasses the queue, if it does."""
    return [
        _mail(target.removeprefix("mailto:"), alert, trouble, now, where, why_directly)
        if target.startswith("mailto:")
        else _webhook(target, alert, trouble, now, where, why_directly)
        for target in targets
    ]


def secrets_in(targets: Sequence[str]) -> list[str]:
    """Return what may be a secret in the URLs of webhooks: many services put a token into the path or the query."""
    urls = [urlsplit(target) for target in targets if not target.startswith("mailto:")]
    parts = [(url.password or "", url.path, *url.path.split("/"), url.query) for url in urls]
    values = [(value for _, value in parse_qsl(url.query)) for url in urls]
    return [secret for found in (*parts, *values) for secret in found]


def _mail(address: str, alert: Alert, trouble: Trouble | None, now: datetime, where: str, why_directly: str) -> Errand:
    subject = f"[{where}] {'Over: ' if alert.is_over else ''}{alert.headline}"
    return Errand(
        "send_email", {"to": [address], "subject": subject[:900], "text": _text(alert, trouble, now, why_directly)}
    )


def _text(alert: Alert, trouble: Trouble | None, now: datetime, why_directly: str) -> str:
    lines = [alert.headline, ""]
    if alert.over_at is not None:
        lines = [f"This has been over since {_moment(alert.over_at)}: {alert.headline}", ""]
    elif trouble is not None:
        lines += [plain(trouble.text, now), ""] if trouble.text else []
        lines += [f"{term}: {plain(words, now)}" for term, words in trouble.facts]
        lines += ["", "What to do:"] if trouble.steps else []
        lines += [f"{number}. {plain(words, now)}" for number, words in enumerate(trouble.steps, 1)]
    lines += ["", f"First seen at {_moment(alert.seen_at)}."]
    return "\n".join([*lines, *(["", why_directly] if why_directly else [])])


def _webhook(url: str, alert: Alert, trouble: Trouble | None, now: datetime, where: str, why_directly: str) -> Errand:
    data: dict[str, Any] = {
        "key": alert.key,
        "where": where,
        "headline": alert.headline,
        "seen_at": alert.seen_at.isoformat(),
        "over_at": alert.over_at.isoformat() if alert.over_at else None,
        "told_directly": why_directly or None,
    }
    if trouble is not None and not alert.is_over:
        data |= {
            "severity": trouble.severity,
            "text": plain(trouble.text, now),
            "facts": {term: plain(words, now) for term, words in trouble.facts},
            "steps": [plain(words, now) for words in trouble.steps],
        }
    event = EVENT_OVER if alert.is_over else EVENT_BEGAN
    return Errand("send_webhook", {"url": url, "event": event, "data": data})


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
