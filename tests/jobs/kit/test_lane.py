from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from jobs import Context, Kind, Lane, Rate, job
from jobs.kit.lane import LONGEST_KEY, to_lane
from jobs.webhook import SendWebhookArgs, send_webhook


class TenantArgs(BaseModel):
    tenant: int | None = None


def kind_in(lane: Any) -> Kind[TenantArgs, None]:
    @job("tenanted", lane=lane)
    async def tenanted(ctx: Context, args: TenantArgs) -> None: ...

    return tenanted


@pytest.mark.parametrize(
    "key", ["", " a", "a ", "a\0", "a" * (LONGEST_KEY + 1), "a*", "kind:a", "queue:a", "\ud800", None, 7]
)
def test_a_key_that_no_lane_may_have_is_refused(key: Any) -> None:
    with pytest.raises(ValueError, match="a lane's key"):
        Lane(key)


@pytest.mark.parametrize(
    "limits",
    [
        {"concurrency": 0},
        {"concurrency": 10_001},
        {"concurrency": True},
        {"concurrency": 1.0},
        {"rate": 50},
        {"order": "fifo"},
        {"order": "strict", "concurrency": 2},
    ],
    ids=str,
)
def test_limits_that_no_lane_may_have_are_refused(limits: Any) -> None:
    with pytest.raises(ValueError, match="lane"):
        Lane("a", **limits)


@pytest.mark.parametrize(
    ("limit", "per"),
    [(0, 1), (1_000_001, 1), (True, 1), (1.5, 1), (1, 0), (1, 0.0001), (1, 86_401), (1, "1"), (1, float("nan"))],
)
def test_a_rate_that_cannot_be_kept_is_refused(limit: Any, per: Any) -> None:
    with pytest.raises(ValueError, match="a rate's"):
        Rate(limit, per)


def test_a_period_is_seconds_or_a_timedelta() -> None:
    assert Rate(50).per_s == 1.0
    assert Rate(1, per=timedelta(minutes=1)).per_s == 60.0


@pytest.mark.parametrize("value", ["tenant:42", Lane("tenant:42")])
def test_text_stands_for_a_lane(value: str | Lane) -> None:
    assert to_lane(value) == Lane("tenant:42")


def test_a_kind_derives_a_lane_from_the_args_or_has_one_for_all_or_none() -> None:
    derived = kind_in(lambda args: None if args.tenant is None else f"tenant:{args.tenant}")
    assert derived.lane_of(TenantArgs(tenant=42)) == Lane("tenant:42")
    assert derived.lane_of(TenantArgs()) is None
    limited = Lane("tenants", concurrency=3, rate=Rate(1))
    assert kind_in(limited).lane_of(TenantArgs()) is limited
    assert kind_in(None).lane_of(TenantArgs()) is None


@pytest.mark.parametrize(
    ("url", "lane"),
    [
        ("https://EXAMPLE.com/a?b", "host:example.com"),
        ("http://example.com", "host:example.com"),
        ("https://example.com.:443/", "host:example.com"),
        ("http://example.com:443/", "host:example.com:443"),
        ("https://Bücher.example:8443/", "host:xn--bcher-kva.example:8443"),
        ("http://[::1]:8080/", "host:[::1]:8080"),
        ("http://0x7f.1/", "host:127.0.0.1"),
        ("http://a*b.example/", "host:a%2Ab.example"),
    ],
)
def test_a_webhook_runs_in_the_lane_of_its_host(url: str, lane: str) -> None:
    args = SendWebhookArgs.model_validate({"url": url, "event": "a.b", "data": 1})
    assert send_webhook.lane_of(args) == Lane(lane)


def test_a_host_of_any_length_has_a_lane() -> None:
    args = SendWebhookArgs.model_validate({"url": f"http://{'a' * 300}.example/", "event": "a.b", "data": 1})
    lane = send_webhook.lane_of(args)
    assert lane is not None
    assert len(lane.key) == LONGEST_KEY


@pytest.mark.parametrize("label", ["", "send", "shop.*", " shop.send", "shop.send\0", "s." + "x" * 249, 7])
def test_a_label_can_be_told_from_a_kind_and_paused(label: Any) -> None:
    with pytest.raises(ValueError):
        Lane("app:shop", label=label)


@pytest.mark.parametrize("longest", [0, -1, "30", True, float("nan")])
def test_a_lane_is_paused_at_most_for_a_time_that_there_is(longest: Any) -> None:
    with pytest.raises(ValueError, match="longest_pause"):
        Lane("app:shop", longest_pause=longest)
