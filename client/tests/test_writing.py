"""What JSON holds of Python's values."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, SecretStr

from postlude import NotJson
from postlude.writing import written

UTC = timezone.utc


class Colour(Enum):
    RED = "red"


class Login(BaseModel):
    user_name: str = Field(alias="userName")
    password: SecretStr


@dataclass
class Place:
    city: str
    login: Login | None = None


LOGIN = Login(userName="ann", password=SecretStr("hush"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00Z"),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        (Decimal("1.10"), "1.10"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Colour.RED, "red"),
        ((1, 2), [1, 2]),
        (Place("Rome"), {"city": "Rome", "login": None}),
        (b"plain", "plain"),
    ],
)
def test_values_have_one_form(value: Any, shown: Any) -> None:
    assert json.loads(written({"value": value})) == {"value": shown}


@pytest.mark.parametrize("value", [LOGIN, [LOGIN], {"a": {"b": LOGIN}}, Place("Rome", LOGIN), SecretStr("hush")])
def test_secrets_travel_as_they_are(value: Any) -> None:
    text = written(value).decode()
    assert "hush" in text
    assert "**********" not in text
    assert ("userName" in text) == (value != SecretStr("hush"))


def test_stars_that_are_no_secret_stay() -> None:
    assert json.loads(written({"rating": "**********"})) == {"rating": "**********"}


def loop() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize("value", [object(), {"file": open}, loop(), b"\xff"])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(NotJson, match="JSON cannot hold what is to be sent"):
        written(value)
