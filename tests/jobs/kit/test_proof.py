"""What is proved to survive JSON is never compared, and what can change is never proved."""

import json
import uuid
from datetime import date, datetime
from enum import Enum
from typing import Annotated

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from typing_extensions import TypedDict

from jobs import Kind
from jobs.kit.proof import Check, Proof, prove_fields
from tests.jobs.kit.changing import CHANGED
from tests.jobs.kit.declaring import kind_of


class Colour(Enum):
    RED = "red"


class Tree(BaseModel):
    name: str = ""
    parts: list["Tree"] = []


class Size(TypedDict):
    width: int


class Order(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    id: uuid.UUID
    at: datetime
    day: date | None = None
    amount: int = Field(1, ge=0)
    weight: float = 0.0
    colour: Colour = Colour.RED
    note: str | None = Field(None, max_length=9, alias="remark")
    tags: set[str] = set()
    lines: list[Tree] = []
    size: Size | None = None
    token: Annotated[SecretStr, AfterValidator(Check(len))] | None = None

    _whole = model_validator(mode="after")(Check(str))


def test_plain_models_are_proved_safe_and_never_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = kind_of(Order)
    assert kind.round_trip.is_proved
    text = json.dumps({"id": str(uuid.uuid4()), "at": "2026-01-01T00:00:00Z", "remark": "n", "token": "t"})
    args = kind.door_model.model_validate_json(text)
    monkeypatch.setattr(Kind, "load_args", None)
    kind.dump_args(args)


@pytest.mark.parametrize("case", CHANGED)
def test_no_field_that_can_change_is_proved(case: str) -> None:
    model, _ = CHANGED[case]
    proofs = prove_fields(model)
    assert proofs is None or max(proofs.values()) is not Proof.PLAIN
