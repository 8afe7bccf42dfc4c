"""The form of changes asks for what differs from what it showed, and for nothing else."""

from datetime import UTC, datetime
from typing import Any

import pytest

from service.dashboard.change_form import changes_in, shown
from service.errors import ArgsInvalid

JOB: dict[str, Any] = {
    "run_at": datetime(2026, 11, 25, 2, 0, 0, 1234, tzinfo=UTC),
    "priority": 0,
    "queue": "default",
    "lane": None,
    "max_attempts": 5,
    "timeout_s": 2.5,
    "tags": '["a", "b c"]',
}


def test_what_was_shown_changes_nothing() -> None:
    assert changes_in(shown(JOB), shown(JOB)) == {}


def test_each_field_is_read_as_the_api_takes_it() -> None:
    form = {"run_at": "2026-11-26T10:30", "priority": "-5", "lane": "tenant:1", "timeout": "1.5", "tags": "x,, y "}
    assert changes_in(form, {}) == {
        "run_at": "2026-11-26T10:30:00Z",
        "priority": -5,
        "lane": "tenant:1",
        "timeout": 1.5,
        "tags": ["x", "y"],
    }
    assert changes_in(shown(JOB) | {"timeout": "", "tags": ""}, shown(JOB)) == {"timeout": None, "tags": None}
    with pytest.raises(ArgsInvalid, match="priority must be a number"):
        changes_in({"priority": "high"}, {})
