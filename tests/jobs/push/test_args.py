"""What the doors take."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobs import Lane
from jobs.push import send_push, send_web_push
from jobs.push.args import MOST_DATA_BYTES, payload_of
from tests.support.push_servers import PushService, base64_url

ROOT = Path(__file__).parents[3]
TOKEN = "a-registration-token"
SUBSCRIPTION = PushService(port=1).subscription


def read(kind: Any, **args: Any) -> Any:
    """Return args as an attempt reads them, after the door and the ledger."""
    accepted = kind.door_model.model_validate_json(json.dumps(args))
    shown, whole = kind.dump_args(accepted)
    assert "very-secret" not in shown
    assert "whsec_" not in shown
    assert TOKEN not in shown
    return kind.load_args(whole or shown)


def said(**args: Any) -> Any:
    return json.loads(read(send_push, **args).body())


def test_a_message_is_sent_as_it_was_given_and_its_token_is_shown_to_nobody() -> None:
    message = {
        "notification": {"title": "Shipped", "body": "On its way"},
        "data": {"order": "7"},
        "android": {"priority": "HIGH", "notification": {"channelId": "orders", "sound": None}},
        "apns": {"headers": {"apns-priority": "10"}, "payload": {"aps": {"badge": 1}}},
        "webpush": {"fcmOptions": {"link": "https://shop.example"}},
        "fcm_options": {"analytics_label": "shipped"},
    }
    assert said(token=TOKEN, **message) == {"message": message | {"token": TOKEN}}
    assert said(topic="news", data={}) == {"message": {"topic": "news", "data": {}}}
    condition = "'a' in topics && !('b' in topics)"
    wanted = {"message": {"condition": condition}, "validate_only": True}
    assert said(condition=condition, validate_only=True) == wanted


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"token": TOKEN, "topic": "news"},
        {"token": ""},
        {"topic": "/topics/news"},
        {"token": TOKEN, "data": {"number": 7}},
        {"token": TOKEN, "data": {"text": "\ud800"}},
        {"token": TOKEN, "notification": {"titel": "x"}},
        {"token": TOKEN, "dry_run": True},
        {"topic": "news", "on_dead_token": {"url": "https://shop.example/dead"}},
        {"token": TOKEN, "on_dead_token": {}},
        {"token": TOKEN, "on_dead_token": {"url": "ftp://shop.example"}},
        {"token": TOKEN, "on_dead_token": {"url": "https://shop.example", "secret": "short"}},
        {"token": TOKEN, "on_dead_token": {"url": "https://shop.example", "kind": "forget"}},
    ],
)
def test_a_message_that_firebase_could_not_take_is_refused_at_the_door(args: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(send_push, **args)


def test_a_subscription_is_taken_as_the_browser_writes_it_and_its_endpoint_is_shown_to_nobody() -> None:
    args = read(send_web_push, subscription=SUBSCRIPTION, data={"order": 7}, ttl=60, urgency="high", topic="orders")
    assert args.subscription.endpoint.get_secret_value() == SUBSCRIPTION["endpoint"]
    assert send_web_push.lane_of(args) == Lane("host:127.0.0.1:1")
    keys = SUBSCRIPTION["keys"]
    padded = {"p256dh": keys["p256dh"].replace("-", "+").replace("_", "/") + "=", "auth": keys["auth"] + "=="}
    read(send_web_push, subscription=SUBSCRIPTION | {"keys": padded})


@pytest.mark.parametrize(
    "args",
    [
        {"subscription": {"endpoint": SUBSCRIPTION["endpoint"]}},
        {"subscription": SUBSCRIPTION | {"endpoint": "file:///etc/passwd"}},
        {"subscription": SUBSCRIPTION | {"endpoint": "https://user:password@push.example"}},
        {"subscription": SUBSCRIPTION | {"keys": SUBSCRIPTION["keys"] | {"auth": "c2hvcnQ"}}},
        {"subscription": SUBSCRIPTION | {"keys": SUBSCRIPTION["keys"] | {"p256dh": base64_url(b"\x02" * 65)}}},
        {"subscription": SUBSCRIPTION, "data": "x" * (MOST_DATA_BYTES + 1)},
        {"subscription": SUBSCRIPTION, "data": ["\ud800"]},
        {"subscription": SUBSCRIPTION, "topic": "not a topic"},
        {"subscription": SUBSCRIPTION, "ttl": -1},
    ],
)
def test_a_push_that_no_browser_could_get_is_refused_at_the_door(args: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(send_web_push, **args)


def test_text_is_sent_as_it_is_and_all_else_as_json() -> None:
    assert payload_of("hello, ü") == "hello, ü".encode()
    assert payload_of({"a": [1, None]}) == b'{"a":[1,null]}'
    assert payload_of(None) == b""


def test_the_message_of_the_guide_is_taken() -> None:
    [sent] = re.findall(r"-d '(.*?)'", (ROOT / "docs" / "push.md").read_text(), re.S)
    job = json.loads(sent)
    assert job["kind"] == "send_push"
    assert read(send_push, **job["args"]).on_dead_token is not None
