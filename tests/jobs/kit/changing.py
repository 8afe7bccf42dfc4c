"""Models whose args JSON, or code of their own, would change on the way to an attempt."""

import json
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    Json,
    JsonValue,
    PlainSerializer,
    RootModel,
    SecretStr,
    StringConstraints,
    WrapValidator,
    field_serializer,
    model_validator,
)

from tests.jobs.kit.declaring import field


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Constants(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    x: float = 0


class Rewritten(BaseModel):
    x: int = 0

    @model_validator(mode="before")
    @classmethod
    def _count(cls, data: Any) -> Any:
        return {"x": data["x"] + 1}


class Grown(BaseModel):
    x: int = 0

    def model_post_init(self, _context: Any) -> None:
        self.x += 1


class Renamed(BaseModel):
    x: int = Field(1, serialization_alias="y")


class Renaming(BaseModel):
    x: int = 1

    @field_serializer("x")
    def _as_text(self, _value: int) -> str:
        return "7"


class Inner(BaseModel):
    value: Annotated[int, AfterValidator(lambda value: value * 2)] = 0


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    inside: T


class BoxOfANumber(Box[float | None]): ...


def _longer(secret: SecretStr) -> SecretStr:
    return SecretStr(secret.get_secret_value() + "z")


CHANGED: dict[str, tuple[type[BaseModel], str]] = {
    "NaN": (field(float), '{"x": NaN}'),
    "NaN where null may be": (field(float | None, None), '{"x": NaN}'),
    "infinity": (field(float), '{"x": 1e999}'),
    "NaN in anything": (field(Any), '{"x": [1, {"a": NaN}]}'),
    "NaN in JSON": (field(JsonValue), '{"x": [NaN]}'),
    "NaN in what is not declared": (Open, '{"x": NaN}'),
    "NaN in a root": (RootModel[list[float]], "[NaN]"),
    "NaN in a generic": (field(BoxOfANumber), '{"x": {"inside": NaN}}'),
    "NaN in JSON in JSON": (field(Json[Any]), '{"x": "[NaN]"}'),  # type: ignore[misc]  # Pydantic makes it generic
    "infinity as a word that JSON has not": (Constants, '{"x": Infinity}'),
    "URL that grows": (field(HttpUrl), json.dumps({"x": "http://a/" + "é" * 700})),
    "text that grows": (field(Annotated[str, StringConstraints(to_upper=True, max_length=3)]), '{"x": "ßß"}'),
    "converting after": (field(Annotated[int, AfterValidator(lambda value: value + 1)]), '{"x": 1}'),
    "converting before": (field(Annotated[int, BeforeValidator(lambda value: value + 1)]), '{"x": 1}'),
    "converting around": (field(Annotated[int, WrapValidator(lambda value, inner: inner(value) + 1)]), '{"x": 1}'),
    "converting deep inside": (field(list[Inner]), '{"x": [{"value": 1}]}'),
    "a model that rewrites itself": (Rewritten, '{"x": 1}'),
    "a model that changes after": (Grown, '{"x": 1}'),
    "another name when written": (Renamed, '{"x": 5}'),
    "another value when written": (Renaming, '{"x": 5}'),
    "masked when written": (field(Annotated[str, PlainSerializer(lambda _: "***")]), '{"x": "abc"}'),
    "left out sometimes": (field(int, Field(20, exclude_if=lambda value: value > 10)), '{"x": 15}'),
    "NUL that was encoded": (
        field(Annotated[str, BeforeValidator(lambda text: text.replace("0", "\0"))]),
        '{"x": "0"}',
    ),
    "an invalid default from a factory": (field(int, Field(default_factory=lambda: None)), "{}"),
    "a secret that changes": (field(Annotated[SecretStr, AfterValidator(_longer)]), '{"x": "a"}'),
}
