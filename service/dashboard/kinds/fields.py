"""The fields of a form, made from the JSON Schema of a kind's args. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Control = Literal[
    "text", "area", "secret", "integer", "number", "checkbox", "select", "moment", "words", "list", "group", "json"
]
Schema = Mapping[str, Any]


class _Nothing:
    """Stands for a missing value, which null is not."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING = _Nothing()
# Deeper parts, and recursive ones, are edited as JSON.
_DEEPEST = 5
_LONGEST_LINE = 2_500
_INPUT_TYPES = {"email": "email", "uri": "url", "date": "date", "time": "time"}
_EXAMPLES = {"duration": "PT30S", "uuid": "0190a5e8-7c1f-7f11-9d3a-2b7c5f0e4a11"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name, what edits it, and what is known about its value.

    A `list` has an `item`, a `group` has `parts`. `type` is the type of an `<input>`, `has_secrets` says that a `json`
    field may contain secrets. `unless` names the fields that may be given instead of this one.
    """

    name: str
    control: Control
    required: bool = False
    default: Any = NOTHING
    hint: str = ""
    example: str = ""
    type: str = "text"
    choices: tuple[Any, ...] = ()
    item: "Field | None" = None
    parts: tuple["Field", ...] = ()
    has_secrets: bool = False
    unless: tuple[str, ...] = ()


def fields_of(schema: Schema) -> tuple[Field, ...]:
    """Return the fields of an object, in the order of its properties."""
    return tuple(_parts(_resolved(schema, schema), schema, 0))


def _parts(schema: Schema, root: Schema, depth: int) -> Iterator[Field]:
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        yield replace(_field(name, inner, root, depth, required=name in required), unless=_unless(name, schema))


def _unless(name: str, schema: Schema) -> tuple[str, ...]:
    """Return which fields may be given instead, where `anyOf` requires some fields or others."""
    choices = [branch.get("required", ()) for branch in schema.get("anyOf", ())]
    if not any(name in choice for choice in choices):
        return ()
    return tuple(other for choice in choices if name not in choice for other in choice)


def _field(name: str, schema: Schema, root: Schema, depth: int, *, required: bool) -> Field:
    given = _resolved(schema, root)
    inner, may_be_null = _without_null(given, root)
    described = str(given.get("description") or inner.get("description") or "").partition("\n")[0].replace("`", "")
    field = Field(
        name,
        "json",
        required=required,
        default=given.get("default", NOTHING),
        hint=" ".join(part for part in (described, _bounds(inner)) if part),
        example=_example(inner),
        has_secrets=_holds_secrets(inner, root),
    )
    return replace(field, **_control(inner, root, depth, may_be_null=may_be_null))


def _control(schema: Schema, root: Schema, depth: int, *, may_be_null: bool) -> dict[str, Any]:
    """Return what edits a value of this schema, as fields of `Field`; JSON if there is no better control."""
    if "const" in schema or "enum" in schema:
        return {"control": "select", "choices": (schema["const"],) if "const" in schema else tuple(schema["enum"])}
    match schema.get("type"):
        case "string":
            return _of_text(schema)
        case "integer" | "number" as kind:
            return {"control": kind, "type": "number"}
        case "boolean":
            return {"control": "select", "choices": (True, False)} if may_be_null else {"control": "checkbox"}
        case "array" if isinstance(schema.get("items"), Mapping) and "prefixItems" not in schema and depth < _DEEPEST:
            return {"control": "list", "item": _field("", schema["items"], root, depth + 1, required=True)}
        case "object" if _is_closed(schema) and depth < _DEEPEST:
            return {"control": "group", "parts": tuple(_parts(schema, root, depth + 1))}
    return {}


def _of_text(schema: Schema) -> dict[str, Any]:
    form = schema.get("format", "")
    if form == "password" or schema.get("writeOnly"):
        return {"control": "secret", "type": "password"}
    if form == "date-time":
        return {"control": "moment", "type": "datetime-local"}
    if form or schema.get("maxLength", _LONGEST_LINE + 1) <= _LONGEST_LINE or "pattern" in schema:
        return {"control": "text", "type": _INPUT_TYPES.get(form, "text")}
    return {"control": "area"}


def _is_closed(schema: Schema) -> bool:
    """Whether an object has only the properties that it names."""
    return bool(schema.get("properties")) and not schema.get("additionalProperties") and "anyOf" not in schema


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Follow references; keywords beside a reference come first."""
    seen = set()
    while (target := _target(schema)) is not None and target not in seen:
        seen.add(target)
        named: Schema = root.get("$defs", {}).get(target.rpartition("/")[2], {})
        schema = {**named, **{name: value for name, value in schema.items() if name not in ("$ref", "allOf")}}
    return schema


def _target(schema: Schema) -> str | None:
    whole = schema.get("allOf", ())
    return schema.get("$ref") or (whole[0].get("$ref") if len(whole) == 1 else None)


def _without_null(schema: Schema, root: Schema) -> tuple[Schema, bool]:
    """Return a value's schema apart from null, and whether it may be null. A union of types has no control."""
    if isinstance(schema.get("type"), list):
        sorts = [sort for sort in schema["type"] if sort != "null"]
        return {**schema, "type": sorts[0] if len(sorts) == 1 else None}, "null" in schema["type"]
    branches = schema.get("anyOf") or schema.get("oneOf")
    if not branches:
        return schema, False
    sorts = [one for one in (_resolved(branch, root) for branch in branches) if one.get("type") != "null"]
    may_be_null = len(sorts) < len(branches)
    if len(sorts) == 1:
        return sorts[0], may_be_null
    if {one.get("type") for one in sorts} == {"integer", "number"}:
        return {"type": "number"}, may_be_null
    return {**schema, "type": None}, may_be_null


def _bounds(schema: Schema) -> str:
    """Say how long or how large a value may be."""
    for least, most, noun in (
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "items"),
        ("minimum", "maximum", ""),
    ):
        low, high = schema.get(least), schema.get(most)
        if high is not None:
            told = f"{low:,} to {high:,} {noun}" if low else f"at most {high:,} {noun}"
            return f"{told.strip().capitalize()}."
        if low is not None and (low or not noun):
            return f"At least {low:,} {noun}".strip() + "."
    return ""


def _example(schema: Schema) -> str:
    examples = schema.get("examples") or [_EXAMPLES.get(schema.get("format", ""), "")]
    return str(examples[0]) if isinstance(examples[0], str | int | float) else ""


def _holds_secrets(schema: Schema, root: Schema) -> bool:
    """Whether a schema contains a secret anywhere."""
    seen: set[str] = set()
    left: list[Any] = [schema]
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            if one.get("format") == "password" or one.get("writeOnly") is True:
                return True
            if isinstance(target := one.get("$ref"), str) and target not in seen:
                seen.add(target)
                left.append(root.get("$defs", {}).get(target.rpartition("/")[2]))
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
    return False
