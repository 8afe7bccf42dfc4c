"""Refuses, when a kind is declared, fields of its args with which jobs would be accepted but never run as sent."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import SchemaSerializer, SchemaValidator

from jobs.kit.difference import difference
from jobs.kit.proof import reads_other_fields, unwrapped

# Keys without schemas: a walk into them would meet an author's own objects.
_NO_SCHEMAS = {"metadata", "default", "cls", "expected", "members", "config"}


class Unusable(Exception):
    """A field's declaration lets no job run as it was sent."""


def check_fields(model: type[BaseModel], noun: str = "field") -> None:
    """Check the fields of a model, at any depth. Raises `Unusable`, which names the field with `noun`."""
    schema = model.__pydantic_core_schema__
    definitions = list(unwrapped(schema)[1].values())
    for place, field, config in _fields(schema, "", None):
        if field.get("serialization_exclude"):
            raise Unusable(
                f"{noun} {place!r} has exclude=True: its value would be lost before the job runs; keep it out of the"
                " args, or make it a SecretStr if it must not be shown"
            )
        if any(one.get("now_op") == "future" for one in _schemas(field["schema"])):
            raise Unusable(
                f"{noun} {place!r} must lie in the future, even when an attempt begins, but by then it may be past:"
                " compare it with the clock in the function"
            )
        _check_default(noun, place, field["schema"], definitions, config)


def _check_default(noun: str, place: str, schema: Any, definitions: list[Any], config: Any) -> None:
    if schema["type"] != "default" or "default" not in schema or reads_other_fields(schema):
        return
    alone: Any = {"type": "definitions", "schema": schema["schema"], "definitions": definitions}
    if "Secret" in str(alone):
        return
    default = schema["default"]
    try:
        validator, serializer = SchemaValidator(alone, config), SchemaSerializer(alone, config)
        text = serializer.to_json(default, by_alias=True, round_trip=True, warnings=False)
        again = validator.validate_json(text, by_alias=True, by_name=True)
        same_text = serializer.to_json(again, by_alias=True, round_trip=True, warnings=False) == text
    except Exception as error:
        raise Unusable(f"the default of {noun} {place!r} does not fit the {noun}: {_reason(error)}") from error
    if difference(default, again, same_text=same_text) is not None:
        raise Unusable(f"the default of {noun} {place!r} is read back from JSON as another value")


def _reason(error: Exception) -> str:
    errors = getattr(error, "errors", None)
    return errors()[0]["msg"] if errors else f"{type(error).__name__}: {error}"


def _fields(schema: Any, place: str, config: Any) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Yield every field of the models, dataclasses and typed dicts in a schema, between its place and its config."""
    if isinstance(schema, list):
        for inner in schema:
            yield from _fields(inner, place, config)
        return
    if not isinstance(schema, Mapping):
        return
    config = schema.get("config", config)
    for name, field in _own_fields(schema):
        yield f"{place}{name}", field, config
        yield from _fields(field["schema"], f"{place}{name}.", config)
    for key, inner in schema.items():
        if key not in _NO_SCHEMAS and key != "fields":
            yield from _fields(inner, place, config)


def _own_fields(schema: Mapping[str, Any]) -> list[tuple[str, Any]]:
    fields = schema.get("fields", ())
    if schema.get("type") == "dataclass-args":
        return [(field["name"], field) for field in fields]
    return list(fields.items()) if isinstance(fields, Mapping) else []


def _schemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, list):
        for inner in schema:
            yield from _schemas(inner)
    elif isinstance(schema, Mapping):
        yield schema
        for key, inner in schema.items():
            if key not in _NO_SCHEMAS and key != "fields":
                yield from _schemas(inner)
