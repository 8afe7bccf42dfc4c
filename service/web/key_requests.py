"""What requests say about keys, and how keys are shown."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from service.access.principal import Scope
from service.access.reads import Key
from service.web.cursor import NEXT_CURSOR, Text
from service.web.moments import ShownMoment

_LONGEST_S = 10 * 365 * 86_400
_Name = Annotated[Text, Field(min_length=1, max_length=100)]
_Listed = Annotated[str, Field(pattern=r"^[^\x00*]*\*?$", min_length=1, max_length=100)]
_Patterns = Annotated[list[_Listed], Field(min_length=1, max_length=100)]
_SCOPES = "`operate` includes `read`, `admin` includes all."
_KINDS = "Kinds that it may enqueue, see and act on: names, and prefixes that end with `*`. null: all."
_QUEUES = "Queues that their jobs may be on. null: all."
_SEES_ARGS = "Whether it is shown args, results, metadata and log lines."
_EXPIRES_IN = "Seconds from now. null: it is valid until it is revoked."


class _Limited(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kinds: _Patterns | None = Field(None, description=_KINDS)
    queues: _Patterns | None = Field(None, description=_QUEUES)
    sees_args: bool = Field(True, description=_SEES_ARGS)
    expires_in: float | None = Field(None, gt=0, le=_LONGEST_S, description=_EXPIRES_IN)


class KeyRequest(_Limited):
    name: _Name = Field(description="Who has it, for readers of lists and of the audit.")
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope), description=_SCOPES)

    @model_validator(mode="after")
    def _fit_together(self) -> "KeyRequest":
        check_limits(self.scopes, self.kinds, self.queues)
        return self


class KeyChange(_Limited):
    """Only the fields that are sent are changed."""

    name: _Name | None = None
    scopes: list[Scope] | None = Field(None, min_length=1, max_length=len(Scope), description=_SCOPES)

    @model_validator(mode="after")
    def _no_nulls(self) -> "KeyChange":
        for name in ("name", "scopes"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null")
        return self


class RotateRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    grace: float = Field(3600, ge=0, le=30 * 86_400, description="Seconds for which the old key stays valid.")


key_request: TypeAdapter[KeyRequest] = TypeAdapter(KeyRequest)
key_change: TypeAdapter[KeyChange] = TypeAdapter(KeyChange)
rotate_request: TypeAdapter[RotateRequest] = TypeAdapter(RotateRequest)


def check_limits(scopes: Sequence[Scope], kinds: object, queues: object) -> None:
    """Raise `ValueError` for a key that could give itself what its limits deny."""
    if Scope.ADMIN in scopes and (kinds is not None or queues is not None):
        raise ValueError("a key with the scope `admin` cannot be limited to kinds or queues: it can make other keys")


def span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


class KeyOut(BaseModel):
    id: str
    name: str
    prefix: str = Field(description="What the key begins with, after `plk_`.")
    scopes: list[Scope]
    kinds: list[str] | None = Field(description=_KINDS)
    queues: list[str] | None = Field(description=_QUEUES)
    sees_args: bool = Field(description=_SEES_ARGS)
    created_at: ShownMoment
    created_by: str | None = Field(description="Who made it; null: a command on the service's machine.")
    expires_at: ShownMoment | None
    last_used_at: ShownMoment | None = Field(description="To the minute, up to a minute late.")
    rotated_at: ShownMoment | None
    old_until: ShownMoment | None = Field(description="How long the key from before the last rotation stays valid.")
    revoked_at: ShownMoment | None

    @classmethod
    def of(cls, key: Key) -> "KeyOut":
        return cls(**_shown(key))


class KeyMade(KeyOut):
    """A key with its text, which is shown only this once."""

    key: str = Field(description="Send it as `Authorization: Bearer <key>`. Only its hash is kept.")

    @classmethod
    def made(cls, key: Key, text: str) -> "KeyMade":
        return cls(key=text, **_shown(key))


class KeyList(BaseModel):
    keys: list[KeyOut]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


def _shown(key: Key) -> dict[str, object]:
    who = key.principal
    own = {name: getattr(key, name) for name in KeyOut.model_fields if hasattr(key, name)}
    return own | {
        "scopes": sorted(who.scopes),
        "kinds": None if who.kinds is None else list(who.kinds),
        "queues": None if who.queues is None else list(who.queues),
        "sees_args": who.sees_args,
    }
