"""Who may see some kinds alone sees no other's queues, failures, lanes or troubles."""

from dataclasses import replace
from datetime import UTC, datetime

from service.access.principal import BOOTSTRAP
from service.dashboard.overview.narrowing import narrowed, seen
from service.dashboard.overview.reading import GroupRow, HeldRow, QueueRow
from service.insight.trouble import Trouble
from service.lane_rules import Rule
from service.ledger.reads.failures import FailureGroup
from tests.service.dashboard.overview.test_verdict import QUIET

NOW = datetime(2026, 11, 25, tzinfo=UTC)
MAILER = replace(BOOTSTRAP, kinds=("send_*",), queues=("mail",))


def group(kind: str) -> GroupRow:
    return GroupRow(FailureGroup(kind, kind, "Error", "no", None, None, NOW, NOW, 1, 0), [1])


ALL = replace(
    QUIET,
    queues=[QueueRow("mail", 1, 0, 1), QueueRow("bulk", 1, 0, 1)],
    groups=[group("send_email"), group("import_csv")],
    held=[HeldRow(Rule(key), None) for key in ("queue:mail", "kind:import_csv", "host:hooks.example.com")],
    held_count=3,
)


def test_what_is_about_others_is_left_out() -> None:
    shown = narrowed(ALL, MAILER)
    assert [row.name for row in shown.queues] == ["mail"]
    assert [row.group.kind for row in shown.groups] == ["send_email"]
    assert ([row.rule.key for row in shown.held], shown.held_count) == (["queue:mail"], 1)
    assert narrowed(ALL, BOOTSTRAP) is ALL


def test_troubles_of_all_and_of_their_own_are_told() -> None:
    keys = [
        "ledger",
        "workers",
        "kind:send_email",
        "queue:bulk",
        "lane:host:a",
        "lanes",
        "failure:f",
        "paused:queue:mail",
    ]
    troubles = [Trouble(key, "wrong", "jobs", key) for key in keys]
    assert [one.key for one in seen(troubles, MAILER)] == ["ledger", "workers", "kind:send_email", "paused:queue:mail"]
    assert seen(troubles, BOOTSTRAP) == troubles
