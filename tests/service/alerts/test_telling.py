"""The words of an alert."""

from datetime import UTC, datetime, timedelta

from service.alerts.telling import errands
from service.insight.troubles import Trouble
from service.insight.words import Link, Time
from service.ledger.records.alerts import Alert

AT = datetime(2026, 11, 25, 2, 14, 2, tzinfo=UTC)
ALERT = Alert("lane:host:a.example.com", AT, "Webhooks to a.example.com are not going out.")
TROUBLE = Trouble(
    ALERT.key,
    "wrong",
    "lanes",
    ALERT.headline,
    ("4 jobs wait, the oldest for ", Time(AT, "for"), "."),
    facts=[("Held by", (Link("the lane's breaker", "/lanes"),))],
    steps=[("Tell whoever runs it.",), ("Wait.",)],
)


def test_a_mail_says_what_why_and_what_to_do() -> None:
    [mail] = errands(
        ["mailto:ops@example.com"],
        ALERT,
        TROUBLE,
        now=AT + timedelta(minutes=9),
        where="production",
        why_directly="This comes directly.",
    )
    assert mail.kind == "send_email"
    assert mail.args["to"] == ["ops@example.com"]
    assert mail.args["subject"] == "[production] Webhooks to a.example.com are not going out."
    assert mail.args["text"] == (
        "Webhooks to a.example.com are not going out.\n\n"
        "4 jobs wait, the oldest for 9 min.\n\n"
        "Held by: the lane's breaker\n\n"
        "What to do:\n1. Tell whoever runs it.\n2. Wait.\n\n"
        "First seen at 2026-11-25 02:14:02 UTC.\n\n"
        "This comes directly."
    )


def test_the_end_is_told_with_when_it_was() -> None:
    over = ALERT._replace(over_at=datetime(2026, 11, 25, 2, 30, tzinfo=UTC))
    mail, hook = errands(
        ["mailto:ops@example.com", "https://hooks.example.com/x"], over, None, now=AT, where="Postlude"
    )
    assert mail.args["subject"].startswith("[Postlude] Over: Webhooks")
    assert "over since 2026-11-25 02:30:00 UTC" in mail.args["text"]
    assert (hook.args["event"], hook.args["data"]["over_at"]) == ("postlude.alert_over", "2026-11-25T02:30:00+00:00")
