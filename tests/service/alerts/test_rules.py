"""Which troubles are alerts."""

from typing import Literal

import pytest

from service.alerts.rules import Rules
from service.insight.troubles import Trouble


@pytest.mark.parametrize(
    ("rules", "key", "severity", "wanted"),
    [
        (["wrong"], "lane:host:a", "wrong", True),
        (["wrong"], "lane:host:a", "warning", False),
        (["wrong", "slo:*"], "slo:send_email", "warning", True),
        (["wrong", "-lane:host:test*"], "lane:host:test.example.com", "wrong", False),
        (["schedule:nightly"], "schedule:nightly", "note", True),
        (["-workers"], "workers", "wrong", False),
    ],
)
def test_a_rule_names_a_severity_or_keys(
    rules: list[str], key: str, severity: Literal["wrong", "warning", "note"], wanted: bool
) -> None:
    assert Rules(rules).want(Trouble(key, severity, "lanes", "It is so.")) is wanted
