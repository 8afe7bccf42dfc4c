"""The setting POSTLUDE_IMPORT_TARGETS: tables that CSV files may be imported into, and kinds that get their rows."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, field_validator

from service.addresses import read_database_url

Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
_FORM = '{"people": {"table": "people", "url": "postgresql://…"}, "leads": {"kind": "take_leads"}}'


class TableSettings(BaseModel):
    """A table; without a `url`, in the ledger's database. `columns`: only these. `key`: the columns that find a row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: Name
    url: SecretStr | None = None
    # Not `schema`, a name that Pydantic's models use themselves.
    in_schema: Name | None = Field(None, alias="schema")
    columns: tuple[Name, ...] | None = Field(None, min_length=1)
    key: tuple[Name, ...] = ()

    @field_validator("url")
    @classmethod
    def _with_driver(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(read_database_url(value.get_secret_value()))


class KindSettings(BaseModel):
    """A kind, whose jobs get `batch` rows each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Annotated[str, Field(min_length=1, max_length=100)]
    batch: Annotated[int, Field(ge=1, le=10_000)] = 1_000


TargetSettings = TableSettings | KindSettings
_targets: TypeAdapter[dict[str, dict[str, Any]]] = TypeAdapter(dict[Name, dict[str, Any]])


@lru_cache(maxsize=8)
def read_targets(said: str) -> Mapping[str, TargetSettings]:
    """Read the setting. Raises `ValueError`, which names the target and the fault, but no secret."""
    try:
        given = _targets.validate_json(said)
    except ValidationError as error:
        raise ValueError(f"must be a JSON object such as {_FORM}: {_told(error)}") from None
    return {name: _target(name, one) for name, one in given.items()}


def _target(name: str, said: Mapping[str, Any]) -> TargetSettings:
    if ("table" in said) == ("kind" in said):
        raise ValueError(f"the target {name!r} must have either a table or a kind, as in {_FORM}")
    try:
        return (KindSettings if "kind" in said else TableSettings).model_validate(said)
    except ValidationError as error:
        raise ValueError(f"the target {name!r} cannot be used: {_told(error)}") from None


def _told(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_context=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in found[:5])
