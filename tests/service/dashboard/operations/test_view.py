"""How an operation is described: its jobs, its progress and its pace. Pure."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.dashboard.operations.view import view_of, which_words
from service.ledger.operations import Operation, OperationState
from service.ledger.reads.group_names import GroupName
from service.ledger.states import State

NOW = datetime(2026, 11, 25, 2, 41, 8, tzinfo=UTC)


def operation(**fields: Any) -> Operation:
    plain: dict[str, Any] = dict.fromkeys(Operation.__dataclass_fields__) | {
        "id": "op", "action": "replay", "filter": "{}", "dry_run": False, "state": OperationState.RUNNING,
        "matched": 4912, "done": 2371, "failed": 0, "skipped": {}, "rate": 50.0, "created_at": NOW,
        "started_at": NOW - timedelta(seconds=48), "paced_at": NOW - timedelta(seconds=48), "paced_from": 0,
    }  # fmt: skip
    return Operation(**plain | fields)


def test_a_running_operation_says_how_far_how_fast_and_how_long() -> None:
    view = view_of(operation(), "failed", None, None, NOW)
    assert (view.title, view.done) == ("Replay failed", "2,371 of 4,912, 48 %")
    assert (view.pace_text, view.left_text) == ("49.4/s of 50/s", "about 51 s")
    assert view.spoken == "2,371 of 4,912 jobs replayed"
    assert view.tone is State.RUNNING


def test_the_pace_is_told_since_it_was_changed_and_until_then_by_what_was_asked_for() -> None:
    slowed = operation(paced_at=NOW - timedelta(seconds=10), paced_from=2271, rate=20.0)
    assert view_of(slowed, "", None, None, NOW).pace == 10
    fresh = view_of(operation(paced_at=NOW, paced_from=2371, rate=100.0), "", None, None, NOW)
    assert (fresh.pace, fresh.pace_text, fresh.left_text) == (None, "100/s", "about 25 s")
    unlimited = view_of(operation(rate=None), "", None, None, NOW)
    assert unlimited.pace_text == "49.4/s, as fast as possible"


def test_one_that_counts_or_has_ended_says_so() -> None:
    counting = view_of(operation(state=OperationState.COUNTING, paced_at=None, done=0), "", None, None, NOW)
    assert (counting.done, counting.left_s) == ("4,912 counted so far", None)
    over = operation(state=OperationState.SUCCEEDED, done=4900, failed=12, finished_at=NOW)
    view = view_of(over, "", None, None, NOW + timedelta(days=1))
    assert (view.done, view.left_s, view.tone) == ("4,912 of 4,912, 100 %", None, State.SUCCEEDED)
    assert view.pace == pytest.approx(102.3, abs=0.1)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"state": "failed", "fingerprint": "f1"}, "failed, shop.send_receipt, KeyError"),
        ({"state": ["failed"], "fingerprint": "gone"}, "failed, group gone"),
        ({"kind": ["a", "b"], "state": ["failed", "cancelled"]}, "failed or cancelled, a or b"),
        ({"ids": ["a", "b"]}, "2 selected jobs"),
        ({"ids": ["a"]}, "job a"),
        ({"queue": list("abcde"), "tag": "t"}, "queue a or b or c or 2 more, tag t"),
        ({"args": {"user.id": 42}, "q": "odd"}, "args.user.id is 42, “odd” in them"),
        ({}, "all jobs"),
    ],
)
def test_a_filter_is_told_in_words(asked: dict[str, Any], expected: str) -> None:
    names = {"f1": GroupName("shop.send_receipt", "KeyError")}
    assert which_words(json.loads(json.dumps(asked)), names) == expected
