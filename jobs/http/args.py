"""The request, and which answers are expected."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StrictInt, model_validator

from jobs.kit.proof import Check
from jobs.webhook.headers import NAME, Value, check_characters, check_names_differ
from jobs.webhook.signature import COMPACT
from jobs.webhook.url import Url

# Headers that belong to the connection, or that say how to read the answer.
DENIED = {"accept-encoding", "connection", "content-length", "expect", "host", "keep-alive"}
DENIED |= {"te", "trailer", "transfer-encoding", "upgrade"}
_CLASS = re.compile(r"([1-5])xx")
_RANGE = re.compile(r"([1-5]\d\d)-([1-5]\d\d)")


def _check_name(name: str) -> None:
    check_characters(name)
    if name.lower() in DENIED or name.lower().startswith("proxy-"):
        raise ValueError("this header is set by the connection, not by the job")


def statuses_of(text: str) -> range:
    """Read `2xx` or `200-299`. Raises `ValueError`."""
    if found := _CLASS.fullmatch(text):
        return range(int(found[1]) * 100, int(found[1]) * 100 + 100)
    if (found := _RANGE.fullmatch(text)) and int(found[1]) <= int(found[2]):
        return range(int(found[1]), int(found[2]) + 1)
    raise ValueError("a status is a number, 2xx or a range such as 200-299")


Name = Annotated[str, Field(max_length=200, json_schema_extra={"pattern": NAME}), AfterValidator(Check(_check_name))]
Headers = Annotated[dict[Name, Value], Field(max_length=64), AfterValidator(Check(check_names_differ))]
Status = Annotated[StrictInt, Field(ge=100, le=599)] | Annotated[str, AfterValidator(Check(statuses_of))]
Path = Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)*$", max_length=255)]


class CallHttpArgs(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    url: Url
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: Headers = {}
    body: str | None = Field(None, description="Sent as it is, in UTF-8.")
    json_: JsonValue = Field(None, alias="json", description="Sent as JSON, instead of `body`.")
    expect: list[Status] = Field(
        ["2xx"], min_length=1, max_length=100, description='Answers that succeed: e.g. `[200, 404]`, `["2xx"]`.'
    )
    expect_json: dict[Path, JsonValue] = Field(
        {}, max_length=20, description='What the answer\'s JSON must contain, by path: e.g. `{"errors": false}`.'
    )

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.body is not None and self.json_ is not None:
            raise ValueError("give body or json, not both")
        try:
            self.content()
        except UnicodeEncodeError as error:
            raise ValueError("a text is not valid Unicode (a lone surrogate)") from error
        return self

    def content(self) -> bytes:
        """Write the body. Raises `UnicodeEncodeError` for a lone surrogate."""
        if self.json_ is not None:
            return COMPACT.encode(self.json_).encode()
        return (self.body or "").encode()

    def expects(self, status: int) -> bool:
        return any(status == one if isinstance(one, int) else status in statuses_of(one) for one in self.expect)
