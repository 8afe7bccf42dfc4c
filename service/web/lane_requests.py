"""What requests say about lanes: a key in the path, limits and a breaker in the body, how long to pause."""

from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Path, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator
from starlette.convertors import StringConvertor, register_url_convertor

from jobs.kit.lane import LONGEST_KEY, MOST_CONCURRENCY, RESERVED_PREFIXES
from service.errors import LaneInvalid
from service.lane_rules import check_rule_key
from service.ledger.records.lanes import Said
from service.options import LONGEST_WAIT, SHORTEST_TIME
from service.requests.lane_in import RateIn
from service.requests.parsing import parse
from service.web.body import read_body
from service.web.room import MIB
from service.web.state import state_of

_LIMITS = {"concurrency", "rate", "order"}
_KEY_PATTERN = r"^(?!kind:|queue:)[^\s\x00]([^\x00]*[^\s\x00])?$"


class _Text(StringConvertor):
    """A name in a path: any text, including slashes and line ends."""

    regex = r"(?s:.+)"


class _LaneKey(StringConvertor):
    """The same at the end of a path, except for the paths of actions."""

    regex = r"(?s:(?!.*/(?:pause|resume)$).+)"


register_url_convertor("text", _Text())
register_url_convertor("lane", _LaneKey())


_TEXT = Path(
    description="A lane's key, or a pattern of keys in which `*` stands for any text. Percent-encode it.",
    json_schema_extra={"pattern": _KEY_PATTERN, "minLength": 1, "maxLength": LONGEST_KEY},
)


async def _rule_key(key: Annotated[str, _TEXT], request: Request) -> str:
    """Return the key. Raises `LaneInvalid`."""
    try:
        unquote_to_bytes(request.scope.get("raw_path") or b"").decode()  # `key` has replaced what is not UTF-8
    except UnicodeDecodeError as error:
        raise LaneInvalid("The key in the path is not UTF-8 once its percent-encoding is undone.") from error
    try:
        check_rule_key(key)
    except ValueError as error:
        said = str(error)
        raise LaneInvalid(f"{said[:1].upper()}{said[1:]}.") from error
    return key


async def _lane_key(key: Annotated[str, Depends(_rule_key)]) -> str:
    """Return the key of a lane or a pattern, never that of a kind or a queue. Raises `LaneInvalid`."""
    refuse_reserved(key)
    return key


def refuse_reserved(key: str) -> None:
    """Raise `LaneInvalid` for the key of a kind or a queue."""
    if key.startswith(RESERVED_PREFIXES):
        sort, _, name = key.partition(":")
        raise LaneInvalid(
            f"{key!r} names a {sort}, not a lane. A {sort} takes no limits: put its jobs into a lane, and limit the"
            f" lane. To pause it, send POST /v1/{sort}s/{name}/pause."
        )


RuleKey = Annotated[str, Depends(_rule_key)]
LaneKey = Annotated[str, Depends(_lane_key)]


BreakerState = Literal["open", "closed", "auto"]


class BreakerIn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    state: BreakerState


def _of_text(value: Any) -> Any:
    return {"state": value} if isinstance(value, str) else value


BreakerOption = Annotated[BreakerIn, BeforeValidator(_of_text, json_schema_input_type=BreakerState | BreakerIn)]


class LaneRequest(BaseModel):
    """The rules of a lane, or of all lanes that a pattern matches.

    All limits are replaced: one that is left out or null is removed. A request with only `breaker` leaves
    the limits as they are.
    """

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"minProperties": 1})

    concurrency: int | None = Field(None, ge=1, le=MOST_CONCURRENCY, description="How many of its jobs run at once.")
    rate: RateIn | None = Field(None, description="How many of its jobs may start in a period of time.")
    order: Literal["strict"] | None = Field(
        None, description="`strict`: one at a time, in the order of enqueueing. Set it before there are jobs."
    )
    breaker: BreakerOption | None = Field(
        None,
        description="Forces the breaker of a lane, not of a pattern: `open` starts nothing, `closed` never opens,"
        " `auto` lets it decide again.",
    )

    @model_validator(mode="after")
    def _fits(self) -> "LaneRequest":
        if not self.model_fields_set:
            raise ValueError(f"name at least one of {', '.join(type(self).model_fields)}")
        if self.order is not None and self.concurrency not in (None, 1):
            raise ValueError("a lane in strict order runs one job at a time: leave out concurrency")
        return self

    def said(self) -> Said:
        said = Said()
        if self.model_fields_set & _LIMITS:
            said["concurrency"] = self.concurrency
            said["rate_limit"] = None if self.rate is None else self.rate.limit
            said["rate_per_s"] = None if self.rate is None else self.rate.per
            said["strict"] = self.order is not None
        if self.breaker is not None:
            state = self.breaker.state
            said["breaker_forced"] = None if state == "auto" else state
        return said


class PauseRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    for_s: float | None = Field(
        None,
        alias="for",
        ge=SHORTEST_TIME.total_seconds(),
        le=LONGEST_WAIT.total_seconds(),
        description="Seconds. Default: until it is resumed.",
    )


LANE_REQUEST: TypeAdapter[LaneRequest] = TypeAdapter(LaneRequest)
_pause: TypeAdapter[PauseRequest] = TypeAdapter(PauseRequest)


async def lane_request(request: Request) -> LaneRequest:
    """Read the body of a PUT. Raises `BodyMalformed`, `ArgsInvalid`, and the errors of reading a body."""
    with state_of(request).room.stay() as stay:
        return parse(LANE_REQUEST, await read_body(request, MIB, stay), {})


async def pause_for(request: Request) -> timedelta | None:
    """Read how long to pause. Without a body: None, which means until resumed."""
    with state_of(request).room.stay() as stay:
        body = await read_body(request, MIB, stay)
    wanted = parse(_pause, body, {}) if body else PauseRequest()
    return None if wanted.for_s is None else timedelta(seconds=wanted.for_s)
