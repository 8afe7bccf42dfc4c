import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum

from pydantic import (
    BaseModel,
    ConfigDict,
    Secret,
    SecretBytes,
    SecretStr,
)

from jobs import Context, job
from tests.jobs.kit.declaring import GreetArgs, greet

MASK = "**********"


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    token: SecretStr
    note: str = "plain"


@dataclass
class Login:
    user: str
    password: SecretStr


class SecretArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    top: SecretStr
    raw: SecretBytes
    pin: Secret[int]
    inner: Inner
    listed: list[Inner]
    paired: tuple[int, SecretStr]
    chosen: frozenset[SecretStr]
    by_name: dict[str, SecretStr]
    by_day: dict[date, Inner]
    maybe: SecretStr | None
    login: Login
    amount: Decimal
    at: datetime
    wait: timedelta
    colour: Colour


@job("secretive")
async def secretive(ctx: Context, args: SecretArgs) -> None: ...


def secret_args() -> SecretArgs:
    inner = {"token": "s3cret-4"}
    return SecretArgs.model_validate(
        {
            "top": 's3cret-1 "quoted" \u00e4',
            "raw": b"s3cret-2",
            "pin": 833_733,
            "inner": inner,
            "listed": [inner, {"token": "s3cret-5"}],
            "paired": (1, "s3cret-6"),
            "chosen": ["s3cret-7", "s3cret-8"],
            "by_name": {"Authorization": "s3cret-9"},
            "by_day": {date(2026, 1, 2): inner},
            "maybe": "s3cret-10",
            "login": {"user": "ann", "password": "s3cret-11"},
            "amount": "1.10",
            "at": "2026-01-01T00:00:00.123456+02:00",
            "wait": 1.5,
            "colour": "red",
        }
    )


def test_secrets_at_any_depth_are_masked_in_what_is_shown_and_kept_in_what_is_sealed() -> None:
    args = secret_args()
    shown, sealed = secretive.dump_args(args)
    assert "s3cret" not in shown
    assert "833733" not in shown
    assert json.loads(shown)["inner"] == {"token": MASK, "note": "plain"}
    assert sealed is not None
    assert secretive.load_args(sealed) == args


def test_args_without_secrets_are_written_once() -> None:
    assert greet.dump_args(GreetArgs(name="Ann")) == ('{"name":"Ann"}', None)
