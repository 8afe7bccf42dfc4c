"""Proves, from Pydantic's core schema, which fields of a model are read back from JSON as they were written.

A proof holds for values that came from JSON. A schema with even one unknown key proves nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, SecretStr, TypeAdapter

T = TypeVar("T")
Schema = Mapping[str, Any]


class Check(Generic[T]):
    """A function for `AfterValidator` that only checks: it returns its input, so it cannot change the value.

    `model_validator(mode="after")` takes it too, for rules about several fields of a model.

    `check` must depend only on its argument. Its result is ignored.
    """

    def __init__(self, check: Callable[[T], object]) -> None:
        self._check = check

    def __call__(self, value: T) -> T:
        self._check(value)
        return value


class Reads(Generic[T]):
    """A function for `BeforeValidator` that reads text into a value of the field's own type.

    `read` must depend only on its argument, and must read the type's own JSON as the same value again.
    """

    def __init__(self, read: Callable[[object], T]) -> None:
        self._read = read

    def __call__(self, value: object) -> T:
        return self._read(value)


class Proof(IntEnum):
    """How surely a field is read back unchanged. For several fields together, the highest counts."""

    PLAIN = 0
    UNLESS_NULL = 1  # NaN and infinity are written as null, so JSON without a null held neither
    NONE = 2


def prove_fields(model: type[BaseModel]) -> dict[str, Proof] | None:
    """Return the proof of each field, or None if the model's own code could change any of them."""
    schema, definitions = unwrapped(model.__pydantic_core_schema__)
    prover = _Prover(definitions)
    if schema["type"] != "model" or not prover.lets_fields_stand_alone(schema):
        return None
    fields: Schema = schema["schema"]["fields"]
    if any(reads_other_fields(field) for field in fields.values()):
        return None
    finite = schema.get("config", {}).get("allow_inf_nan") is False
    return {name: prover.field(field, finite=finite) for name, field in fields.items()}


def unwrapped(schema: Any) -> tuple[Schema, dict[str, Schema]]:
    """Return a model's own core schema, without mere checks, and the definitions that it refers to."""
    definitions: dict[str, Schema] = {}
    if schema["type"] == "definitions":
        definitions = {one["ref"]: one for one in schema["definitions"]}
        schema = schema["schema"]
    if schema["type"] == "definition-ref":
        schema = definitions[schema["schema_ref"]]
    while schema["type"] == "function-after" and isinstance(schema["function"]["function"], Check):
        schema = schema["schema"]
    return schema, definitions


def reads_other_fields(value: Any) -> bool:
    """Return whether a validator inside takes `info`, which shows it the other fields."""
    if isinstance(value, Mapping):
        if value.get("type") == "with-info" or value.get("default_factory_takes_data"):
            return True
        return any(reads_other_fields(inner) for name, inner in value.items() if name not in ("metadata", "default"))
    return isinstance(value, list) and any(map(reads_other_fields, value))


_ALWAYS = {"type", "metadata", "ref", "strict"}
_NUMBER = {"ge", "le", "gt", "lt", "multiple_of"}
_LENGTH = {"min_length", "max_length", "fail_fast"}
_MOMENT = {"ge", "le", "gt", "lt", "microseconds_precision", "tz_constraint"}
# Types with nothing inside, and the keys that do not weaken their proof.
_LEAVES = {
    "none": _ALWAYS,
    "bool": _ALWAYS,
    "int": _ALWAYS | _NUMBER,
    "str": _ALWAYS | {"min_length", "max_length", "pattern", "regex_engine"},
    "uuid": _ALWAYS | {"version"},
    "date": _ALWAYS | _MOMENT,
    "datetime": _ALWAYS | _MOMENT,
}
_CONFIG = {
    "title",
    "extra_fields_behavior",
    "allow_inf_nan",
    "strict",
    "frozen",
    "populate_by_name",
    "validate_by_name",
    "validate_by_alias",
    "from_attributes",
    "str_max_length",
    "str_min_length",
    "validate_default",
    "revalidate_instances",
    "hide_input_in_errors",
    "loc_by_alias",
}
_FACTORIES = (list, dict, set, frozenset, tuple)


def _bare(schema: Any) -> Any:
    """Return the schema without metadata, which says nothing about values, to compare it with another."""
    if isinstance(schema, Mapping):
        return {name: _bare(inner) for name, inner in schema.items() if name != "metadata"}
    return [_bare(inner) for inner in schema] if isinstance(schema, list) else schema


_SECRET_STR = _bare(TypeAdapter(SecretStr).core_schema)


class _Prover:
    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._under_way: set[str] = set()

    def lets_fields_stand_alone(self, model: Schema) -> bool:
        """Return whether a model is just its fields: no code and no setting of its own changes them."""
        known = _ALWAYS | {"cls", "config", "custom_init", "root_model", "schema", "frozen"}
        inner, config = model["schema"], model.get("config", {})
        return (
            set(model) <= known
            and not model.get("custom_init")
            and not model.get("root_model")
            and set(config) <= _CONFIG
            and "allow" not in (config.get("extra_fields_behavior"), inner.get("extra_behavior"))
            and inner["type"] == "model-fields"
            and set(inner) <= _ALWAYS | {"fields", "model_name", "computed_fields", "extra_behavior"}
            and all(_is_plainly_named(field) for field in inner["fields"].values())
        )

    def field(self, field: Schema, *, finite: bool) -> Proof:
        return self._proof(field["schema"], finite)

    def _proof(self, schema: Schema, finite: bool) -> Proof:
        sort = schema["type"]
        if sort in _LEAVES:
            return Proof.PLAIN if set(schema) <= _LEAVES[sort] else Proof.NONE
        prove = self.rules.get(sort)
        return Proof.NONE if prove is None else prove(self, schema, finite)

    def _all(self, schema: Schema, keys: set[str], inner: Iterable[Schema], finite: bool) -> Proof:
        if not set(schema) <= _ALWAYS | keys:
            return Proof.NONE
        return max((self._proof(one, finite) for one in inner), default=Proof.PLAIN)

    def _any(self, schema: Schema, _finite: bool) -> Proof:
        return self._all(schema, set(), [], _finite) or Proof.UNLESS_NULL

    def _float(self, schema: Schema, finite: bool) -> Proof:
        surely = schema.get("allow_inf_nan", not finite) is False
        return self._all(schema, _NUMBER | {"allow_inf_nan"}, [], finite) or (
            Proof.PLAIN if surely else Proof.UNLESS_NULL
        )

    def _nullable(self, schema: Schema, finite: bool) -> Proof:
        return self._all(schema, {"schema"}, [schema["schema"]], finite)

    def _list(self, schema: Schema, finite: bool) -> Proof:
        items = [schema["items_schema"]] if "items_schema" in schema else [{"type": "any"}]
        return self._all(schema, {"items_schema"} | _LENGTH, items, finite)

    def _tuple(self, schema: Schema, finite: bool) -> Proof:
        return self._all(schema, {"items_schema", "variadic_item_index"} | _LENGTH, schema["items_schema"], finite)

    def _dict(self, schema: Schema, finite: bool) -> Proof:
        keys = schema.get("keys_schema", {"type": "any"})
        while keys["type"] == "function-after" and isinstance(keys["function"]["function"], Check):
            keys = keys["schema"]
        if keys["type"] not in ("str", "any"):
            return Proof.NONE
        inner = [keys, schema.get("values_schema", {"type": "any"})]
        return self._all(schema, {"keys_schema", "values_schema"} | _LENGTH, inner, finite)

    def _literal(self, schema: Schema, finite: bool) -> Proof:
        return self._all(schema, {"expected"}, [], finite) or _of_constants(schema["expected"])

    def _enum(self, schema: Schema, finite: bool) -> Proof:
        members = [member.value for member in schema["members"]]
        return self._all(schema, {"cls", "members", "sub_type"}, [], finite) or _of_constants(members)

    def _default(self, schema: Schema, finite: bool) -> Proof:
        """Prove the value sent; a fixed default is tried once, when the kind is declared."""
        if schema.get("default_factory", list) not in _FACTORIES:
            return Proof.NONE
        keys = {"schema", "default", "default_factory", "default_factory_takes_data", "copy_default"}
        return self._all(schema, keys | {"validate_default"}, [schema["schema"]], finite)

    def _function_after(self, schema: Schema, finite: bool) -> Proof:
        if not isinstance(schema["function"]["function"], Check):
            return Proof.NONE
        return self._all(schema, {"function", "schema"}, [schema["schema"]], finite)

    def _function_before(self, schema: Schema, finite: bool) -> Proof:
        if not isinstance(schema["function"]["function"], Reads):
            return Proof.NONE
        return self._all(schema, {"function", "schema", "json_schema_input_schema"}, [schema["schema"]], finite)

    def _lax_or_strict(self, schema: Schema, _finite: bool) -> Proof:
        return Proof.PLAIN if _bare(schema) == _SECRET_STR else Proof.NONE

    def _json_or_python(self, schema: Schema, finite: bool) -> Proof:
        return self._all(schema, {"json_schema", "python_schema"}, [schema["json_schema"]], finite)

    def _definition_ref(self, schema: Schema, finite: bool) -> Proof:
        ref = schema["schema_ref"]
        if ref in self._under_way:  # proved if the rest of the schema is
            return Proof.PLAIN
        self._under_way.add(ref)
        try:
            return self._all(schema, {"schema_ref"}, [self._definitions[ref]], finite)
        finally:
            self._under_way.discard(ref)

    def _model(self, schema: Schema, _finite: bool) -> Proof:
        if not self.lets_fields_stand_alone(schema):
            return Proof.NONE
        finite = schema.get("config", {}).get("allow_inf_nan") is False
        fields = schema["schema"]["fields"].values()
        return max((self.field(field, finite=finite) for field in fields), default=Proof.PLAIN)

    def _typed_dict(self, schema: Schema, finite: bool) -> Proof:
        keys = {"cls", "cls_name", "config", "extra_behavior", "fields", "computed_fields", "total"}
        fields = schema["fields"].values()
        if not set(schema.get("config", {})) <= _CONFIG or not all(map(_is_plainly_named, fields)):
            return Proof.NONE
        if schema.get("extra_behavior") == "allow":
            return Proof.NONE
        return self._all(schema, keys, [field["schema"] for field in fields], finite)

    rules: ClassVar[dict[str, Callable[..., Proof]]] = {
        "any": _any,
        "float": _float,
        "nullable": _nullable,
        "list": _list,
        "set": _list,
        "frozenset": _list,
        "tuple": _tuple,
        "dict": _dict,
        "literal": _literal,
        "enum": _enum,
        "default": _default,
        "function-after": _function_after,
        "function-before": _function_before,
        "lax-or-strict": _lax_or_strict,
        "json-or-python": _json_or_python,
        "definition-ref": _definition_ref,
        "model": _model,
        "typed-dict": _typed_dict,
    }


def _is_plainly_named(field: Schema) -> bool:
    """Return whether a field is always written, under the name by which it is read."""
    keys = {"type", "schema", "metadata", "frozen", "required", "validation_alias", "serialization_alias"}
    return set(field) <= keys and field.get("validation_alias") == field.get("serialization_alias")


def _of_constants(values: Iterable[Any]) -> Proof:
    """Prove constants that are all text or all integers; in a mixture, 1, True and 1.0 are equal."""
    return Proof.PLAIN if {type(value) for value in values} in ({str}, {int}) else Proof.NONE
