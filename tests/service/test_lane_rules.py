import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from jobs import Lane, Rate
from service.lane_rules import (
    Limits,
    Rule,
    check_rule_key,
    counted_as,
    given_lane,
    in_order,
    lane_fields,
    limits_of,
    matches,
    paused_by,
    read_limits,
    rules_of,
    written_limits,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "key", "fits"),
    [
        ("tenant:*", "tenant:42", True),
        ("tenant:*", "tenant:", True),
        ("tenant:*", "a tenant:42", False),
        ("*", "anything", True),
        ("*", "kind:greet", False),
        ("host:*.example", "host:a.b.example", True),
        ("host:*.example", "host:a.b.example:8080", False),
        ("a*b*c", "abc", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "acb", False),
        ("a*bc*bc", "abcbc", True),
        ("a*bc*bc", "abc", False),
        ("**", "a", True),
        ("a.c*", "abc", False),
        ("a*", "a\nb", True),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, key: str, fits: bool) -> None:
    assert matches(pattern, key) is fits


def test_no_pattern_takes_long_to_match() -> None:
    began = time.perf_counter()
    assert not matches("*a" * 100 + "*b", "a" * 255)
    assert time.perf_counter() - began < 5, "one that tries all ways would take years"


@pytest.mark.parametrize("key", ["a", "a*", "*", "kind:greet", "queue:default"])
def test_rules_are_kept_for_lanes_patterns_kinds_and_queues(key: str) -> None:
    check_rule_key(key)


@pytest.mark.parametrize("key", ["", " a", "kind:", "queue:", "kind:gr*", "queue:*", "a\0", "a" * 256, "*" + "a" * 255])
def test_no_rule_is_kept_under_another_key(key: str) -> None:
    with pytest.raises(ValueError, match=r"key|names"):
        check_rule_key(key)


def test_a_limit_is_the_most_specific_rules_that_gives_it_then_the_jobs_then_the_kinds() -> None:
    rules = [
        Rule("*", concurrency=1, rate_limit=1, rate_per_s=1.0),
        Rule("tenant:*", concurrency=2),
        Rule("tenant:4*", rate_limit=4, rate_per_s=1.0),
        Rule("other:*", concurrency=9, strict=True),
    ]
    assert [rule.key for rule in rules_of(rules, "tenant:42")] == ["tenant:4*", "tenant:*", "*"]
    assert limits_of(rules, "tenant:42") == Limits(2, (4, 1.0))
    assert limits_of([*rules, Rule("tenant:42", concurrency=7)], "tenant:42") == Limits(7, (4, 1.0))
    sent, of_kind = Limits(concurrency=5), Limits(concurrency=6, rate=(6, 1.0))
    assert limits_of(rules[1:2], "tenant:42", sent=sent, of_kind=of_kind) == Limits(2, (6, 1.0))
    assert limits_of([], "tenant:42", sent=sent, of_kind=of_kind) == Limits(5, (6, 1.0))


def test_a_lane_in_strict_order_runs_one_job_at_a_time_whatever_else_was_said() -> None:
    rules = [Rule("a*", strict=True), Rule("a", concurrency=5)]
    assert limits_of(rules, "a") == Limits(1, None, True)


def test_a_lane_is_paused_by_any_rule_that_fits_and_as_long_as_the_longest() -> None:
    soon, later = (NOW + timedelta(seconds=s) for s in (1, 2))
    rules = [
        Rule("a", paused=True, paused_until=soon),
        Rule("a*", paused=True, paused_until=later),
        Rule("*", paused=True, paused_until=NOW),
    ]
    assert paused_by(rules, "a", NOW) is rules[1]
    assert paused_by(rules, "b", NOW) is None
    for_good = Rule("*", paused=True)
    assert paused_by([*rules, for_good], "a", NOW) is for_good


@pytest.mark.parametrize(
    "rule",
    [
        Rule("a", concurrency=1),
        Rule("a", rate_limit=1, rate_per_s=1.0),
        Rule("a", strict=True),
        Rule("a", paused=True),
        Rule("a", breaker_state="open"),
        Rule("a", breaker_forced="closed"),
    ],
)
def test_a_rule_that_says_anything_is_kept(rule: Rule) -> None:
    assert not rule.says_nothing(NOW)
    assert Rule("a", paused=True, paused_until=NOW).says_nothing(NOW)


def test_a_job_waits_for_the_lane_of_its_request_before_its_kinds() -> None:
    assert in_order("tenant:42", "host:a") == ("tenant:42", "host:a")
    assert in_order(None, "host:a") == ("host:a",)
    assert in_order(None, None) == ()


def test_what_a_request_and_a_kind_say_of_lanes_is_written_and_read_back() -> None:
    tenant = Lane("tenant:42", rate=Rate(2, per=0.5), order="strict")
    written = written_limits(tenant, Lane("host:a", concurrency=3))
    assert written is not None
    told = json.loads(written)
    assert told == {
        "tenant:42": {"rate": {"limit": 2, "per": 0.5}, "order": "strict", "from": "request"},
        "host:a": {"concurrency": 3, "from": "kind"},
    }
    assert read_limits(told["tenant:42"]) == Limits(None, (2, 0.5), True)
    assert read_limits(told["host:a"]) == Limits(3)


def test_a_lane_without_limits_is_told_only_where_it_is_a_kinds() -> None:
    assert written_limits(Lane("tenant:42"), None) is None
    assert json.loads(written_limits(None, Lane("host:a")) or "") == {"host:a": {"from": "kind"}}


def test_a_lane_that_request_and_kind_both_name_has_the_limits_of_both() -> None:
    written = written_limits(Lane("host:a", concurrency=1), Lane("host:a", concurrency=9, rate=Rate(5)))
    assert json.loads(written or "") == {"host:a": {"concurrency": 1, "rate": {"limit": 5, "per": 1.0}, "from": "kind"}}


def test_what_a_kind_says_of_its_lane_alone_is_written_and_read_back() -> None:
    lane = Lane("app:shop", longest_pause=30, label="shop.mail.send")
    fields = lane_fields(Lane("tenant:42"), lane)
    assert fields["label"] == "shop.mail.send"
    assert json.loads(fields["lane_limits"] or "") == {
        "app:shop": {"longest_pause": 30.0, "label": "shop.mail.send", "from": "kind"}
    }
    assert given_lane("app:shop", fields["lane_limits"]) == Lane("app:shop", longest_pause=30.0, label="shop.mail.send")
    assert counted_as("call_app", fields["lane_limits"]) == "shop.mail.send"
    assert lane_fields(lane, lane)["label"] == "shop.mail.send"


def test_what_has_no_label_counts_as_its_kind() -> None:
    assert counted_as("call_app", None) == "call_app"
    assert counted_as("call_app", written_limits(Lane('a"label":', concurrency=1), Lane("host:a"))) == "call_app"
