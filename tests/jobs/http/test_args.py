"""What the door takes."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.http import CallHttpArgs, call_http

URL = "https://search.example/_bulk"


def read(**args: Any) -> CallHttpArgs:
    """Return args as an attempt reads them, after the door and the ledger."""
    accepted = call_http.door_model.model_validate_json(json.dumps({"url": URL} | args))
    shown, whole = call_http.dump_args(accepted)
    assert "a-secret" not in shown
    return call_http.load_args(whole or shown)


def test_a_body_is_text_or_json() -> None:
    assert read().content() == b""
    assert read(body='{"index":{}}\nü').content() == '{"index":{}}\nü'.encode()
    assert read(json={"a": [1, None]}).content() == b'{"a":[1,null]}'
    assert read(headers={"Authorization": "a-secret", "Content-Type": "application/x-ndjson"}).headers


def test_expected_statuses_are_numbers_classes_and_ranges() -> None:
    assert [status for status in (200, 299, 304, 404) if read().expects(status)] == [200, 299]
    args = read(expect=[404, "2xx", "500-502"])
    assert [status for status in (204, 400, 404, 499, 500, 502, 503) if args.expects(status)] == [204, 404, 500, 502]


@pytest.mark.parametrize(
    "args",
    [
        {"url": "ftp://search.example"},
        {"url": "https://user:password@search.example"},
        {"method": "CONNECT"},
        {"method": "get"},
        {"body": "x", "json": 1},
        {"json": ["\ud800"]},
        {"body": "\ud800"},
        {"headers": {"Host": "other.example"}},
        {"headers": {"Content-Length": "7"}},
        {"headers": {"Proxy-Authorization": "x"}},
        {"headers": {"x": "a\r\nb"}},
        {"headers": {"x": "1", "X": "2"}},
        {"expect": []},
        {"expect": ["ok"]},
        {"expect": ["299-200"]},
        {"expect": [99]},
        {"expect": ["6xx"]},
        {"expect_json": {"": 1}},
        {"expect_json": {"a..b": 1}},
    ],
)
def test_what_could_not_be_sent_is_refused_at_the_door(args: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(**args)
