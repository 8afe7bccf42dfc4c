"""Keys that become one when read, such as `"1"` and `"01"` of a `dict[int, str]`: one would be lost."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic_core import SchemaValidator, to_json

from jobs.kit.difference import Place
from jobs.kit.proof import Check, Schema, unwrapped

_CONVERTED = ("strip_whitespace", "to_lower", "to_upper")
_CONVERTED_BY_CONFIG = tuple(f"str_{setting}" for setting in _CONVERTED)
_DICTS = ("dict", "ordered-dict")
# Schemas that pass on what is sent unchanged, and the key that holds the inner schema.
_WRAPPINGS = {
    "nullable": "schema",
    "default": "schema",
    "function-after": "schema",
    "json-or-python": "json_schema",
    "lax-or-strict": "lax_schema",
}


class Keys:
    """The dicts of a model whose keys are converted when read. Dicts behind unions and converters are not seen."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._schema, self._definitions = unwrapped(model.__pydantic_core_schema__)
        self._readers: dict[int, SchemaValidator] = {}
        self.may_clash = any(_convert(*found) for found in _dicts([self._schema, *self._definitions.values()], {}))

    def clash(self, sent: Any, *, from_json: bool) -> Place | None:
        """Return the place of a dict in the args whose keys would become one, or None."""
        return next(self._clashes(self._schema, {}, sent, (), from_json), None) if self.may_clash else None

    def _clashes(self, schema: Schema, config: Schema, sent: Any, place: Place, from_json: bool) -> Iterator[Place]:
        sort = schema["type"]
        if sort == "definition-ref":
            yield from self._clashes(self._definitions[schema["schema_ref"]], config, sent, place, from_json)
        elif sort == "model":
            yield from self._clashes(schema["schema"], schema.get("config", {}), sent, place, from_json)
        elif sort in _WRAPPINGS:
            yield from self._clashes(schema[_WRAPPINGS[sort]], config, sent, place, from_json)
        else:
            is_dict = sort in _DICTS and isinstance(sent, Mapping)
            if is_dict and _convert(schema, config) and self._read(schema, config, sent, from_json) < len(sent):
                yield place
            config = schema.get("config", config)
            for step, inner, value in _inside(schema, sent):
                yield from self._clashes(inner, config, value, (*place, step), from_json)

    def _read(self, schema: Schema, config: Schema, sent: Mapping[Any, Any], from_json: bool) -> int:
        """Return how many keys are left once read."""
        reader, bare = self._reader(schema["keys_schema"], config), dict.fromkeys(sent)
        try:
            return len(reader.validate_json(to_json(bare)) if from_json else reader.validate_python(bare))
        except Exception:  # noqa: BLE001 - the validation of the args reports it
            return len(sent)

    def _reader(self, keys: Any, config: Any) -> SchemaValidator:
        """Return a validator of only a dict's keys, made once for each dict of the schema."""
        reader = self._readers.get(id(keys))
        if reader is None:
            alone: Any = {"type": "dict", "keys_schema": keys}
            shared: Any = list(self._definitions.values())
            reader = SchemaValidator({"type": "definitions", "schema": alone, "definitions": shared}, config or None)
            self._readers[id(keys)] = reader
        return reader


@cache
def keys_of(model: type[BaseModel]) -> Keys:
    return Keys(model)


_ANY: Schema = {"type": "any"}


def _inside(schema: Schema, sent: Any) -> Iterator[tuple[str | int, Schema, Any]]:
    """Yield what is inside a list, a dict or the fields of a model: its step, its schema, and the value sent."""
    sort = schema["type"]
    if sort == "list" and isinstance(sent, list):
        for at, item in enumerate(sent):
            yield at, schema.get("items_schema", _ANY), item
    elif sort in _DICTS and isinstance(sent, Mapping):
        for key, value in sent.items():
            yield str(key), schema.get("values_schema", _ANY), value
    elif sort in ("model-fields", "typed-dict") and isinstance(sent, Mapping):
        for name, field in schema["fields"].items():
            for known in {name, _alias(field)} & sent.keys():
                yield known, field["schema"], sent[known]


def _alias(field: Schema) -> str | None:
    alias = field.get("validation_alias")
    return alias if isinstance(alias, str) else None


def _convert(schema: Schema, config: Schema) -> bool:
    """Return whether keys of a dict may be converted when read."""
    keys = schema.get("keys_schema", _ANY)
    while keys["type"] == "function-after" and isinstance(keys["function"]["function"], Check):
        keys = keys["schema"]
    if keys["type"] == "str":
        return any(map(keys.get, _CONVERTED)) or any(map(config.get, _CONVERTED_BY_CONFIG))
    return bool(keys["type"] != "any")


def _dicts(schema: Any, config: Schema) -> Iterator[tuple[Schema, Schema]]:
    """Yield every dict in a schema, with the config that applies to it."""
    if isinstance(schema, list):
        for inner in schema:
            yield from _dicts(inner, config)
    elif isinstance(schema, Mapping):
        config = schema.get("config", config) if schema.get("type") in ("model", "typed-dict") else config
        if schema.get("type") in _DICTS:
            yield schema, config
        for name, inner in schema.items():
            if name not in ("metadata", "default", "serialization", "config"):
                yield from _dicts(inner, config)
