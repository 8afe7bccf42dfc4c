"""The filters of the page of jobs live in its address: chips tell them, links add and remove them."""

from datetime import UTC, datetime

from service.dashboard.jobs.query import Query, added

NOW = datetime(2026, 11, 25, 2, 23, 23, 500, tzinfo=UTC)
SENT = [
    ("state", "queued"),
    ("state", "failed"),
    ("kind", "send_webhook"),
    ("created_after", "2026-11-25T02:00:00Z"),
    ("args.event", "order.paid"),
    ("order", "asc"),
    ("cursor", "abc"),
    ("at", "50"),
    ("tag", ""),
]


def test_each_filter_is_a_chip_that_removes_it() -> None:
    query = Query.of(SENT)
    chips = {chip.label: chip for chip in query.chips}
    assert list(chips) == ["state", "kind", "enqueued after", "args.event"]
    assert chips["state"].text == "queued, failed"
    assert chips["enqueued after"].moment == datetime(2026, 11, 25, 2, tzinfo=UTC)
    assert chips["state"].without.fields == {
        "kind": ["send_webhook"],
        "created_after": ["2026-11-25T02:00:00Z"],
        "args.event": ["order.paid"],
        "order": ["asc"],
    }


def test_a_state_is_added_and_taken_away() -> None:
    query = Query.of([("state", "queued")])
    assert query.toggled("state", "failed").fields == {"state": ["queued", "failed"]}
    assert query.toggled("state", "queued").fields == {}


def test_the_form_of_one_more_filter_becomes_part_of_the_address() -> None:
    query = Query.of([("queue", "a"), ("lane", "x")])
    assert added(query, {"field": "queue", "value": " b "}, NOW).fields["queue"] == ["a", "b"]
    assert added(query, {"field": "lane", "value": "y"}, NOW).fields["lane"] == ["y"]
    assert added(query, {"field": "lane", "value": ""}, NOW).fields == {"queue": ["a"]}
    assert added(query, {"field": "args", "path": "user.id", "value": "42"}, NOW).fields["args.user.id"] == ["42"]
    lately = added(query, {"field": "time", "last": "1h"}, NOW)
    assert lately.fields["created_after"] == ["2026-11-25T01:23:23Z"]
    ended = {"field": "time", "basis": "finished", "after": "2026-11-24T10:00", "before": "2026-11-24T11:00Z"}
    assert added(query, ended, NOW).fields["finished_after"] == ["2026-11-24T10:00Z"]
    assert added(query, ended, NOW).fields["finished_before"] == ["2026-11-24T11:00Z"]
