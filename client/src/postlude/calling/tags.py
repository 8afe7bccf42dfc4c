"""Values as JSON with tags, for values without an annotation: `{"$postlude": "UUID", "value": "…"}`.

A tag never imports a module, and no code of a class runs: only dataclasses, Pydantic's models, enums and named tuples
of modules that the app has imported are made, field by field.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum, Flag
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from postlude.calling import uploads
from postlude.calling.names import find_class
from postlude.calling.refused import CannotTravel, instead_of, is_of_a_database
from postlude.calling.scalars import BY_NAME, SCALARS, is_json

TAG = "$postlude"
_LISTS: dict[type, str] = {tuple: "tuple", set: "set", frozenset: "frozenset"}


class NotReadable(ValueError):
    """JSON with tags that cannot be read here."""


def pack(value: Any) -> Any:
    """Return a value as JSON. Raises `CannotTravel`, with what to pass instead."""
    if is_json(value):
        return value
    kind = type(value)
    if uploads.is_upload(value):
        return _tagged(uploads.TAG, uploads.describe(value))
    if kind is list:
        return [pack(item) for item in value]
    if kind is dict:
        return _pack_dict(value)
    if kind in _LISTS:
        return _tagged(_LISTS[kind], [pack(item) for item in value])
    if scalar := SCALARS.get(kind):
        return _tagged(scalar.name, scalar.write(value))
    return _pack_object(value)


def as_is(value: Any) -> Any:
    """Return a value as JSON that is read without its annotation, which would read it differently."""
    packed = pack(value)
    return packed if has_tags(packed) else _tagged("as is", packed)


def unpack(packed: Any) -> Any:
    """Return the packed value. Raises `NotReadable`."""
    if isinstance(packed, list):
        return [unpack(item) for item in packed]
    if not isinstance(packed, dict):
        return packed
    if TAG not in packed:
        return {name: unpack(item) for name, item in packed.items()}
    try:
        return _unpack_tagged(packed[TAG], packed["value"], packed.get("class"))
    except NotReadable:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, OSError) as error:
        raise NotReadable(f"the tag {packed[TAG]!r} holds what it cannot: {error}") from error


def has_tags(packed: Any) -> bool:
    if isinstance(packed, dict):
        return TAG in packed or any(map(has_tags, packed.values()))
    return isinstance(packed, list) and any(map(has_tags, packed))


def _tagged(tag: str, value: Any, of: type | None = None) -> dict[str, Any]:
    return {TAG: tag, **({} if of is None else {"class": _name_of(of)}), "value": value}


def _pack_dict(value: dict[Any, Any]) -> Any:
    if all(type(name) is str and is_json(name) for name in value) and TAG not in value:
        return {name: pack(item) for name, item in value.items()}
    return _tagged("dict", [[pack(name), pack(item)] for name, item in value.items()])


def _pack_object(value: Any) -> Any:
    kind = type(value)  # not `__class__`, about which a mock of a class lies
    if issubclass(kind, Enum):
        named = not issubclass(kind, Flag) or value.name in kind.__members__
        return _tagged("enum", value.name, kind) if named else _tagged("flag", value.value, kind)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _tagged("named tuple", [pack(item) for item in value], kind)
    if issubclass(kind, BaseModel) and not is_of_a_database(value):
        return _tagged("model", _pack_model(value), kind)
    if is_dataclass(kind) and not is_of_a_database(value):
        return _tagged("dataclass", {field.name: pack(getattr(value, field.name)) for field in fields(value)}, kind)
    raise CannotTravel(f"a value of type {kind.__qualname__} cannot travel: {instead_of(value)}")


def _pack_model(value: BaseModel) -> list[Any]:
    own = {name: value.__dict__[name] for name in type(value).model_fields if name in value.__dict__}
    extra = value.__pydantic_extra__
    return [_pack_dict(own), extra if extra is None else _pack_dict(extra), sorted(value.model_fields_set)]


def _name_of(kind: type) -> str:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if find_class(name) is not kind:
        raise CannotTravel(
            f"a value of type {name} cannot travel, because its class is not found under that name: pass its fields"
        )
    return name


def _unpack_tagged(tag: Any, value: Any, of: Any) -> Any:
    if of is not None:
        kind = find_class(of)
        if kind is None:
            raise NotReadable(f"no class {of} is imported here")
        return _OBJECTS[tag](kind, value)
    if tag in _CONTAINERS:
        return _CONTAINERS[tag](value)
    return BY_NAME[tag].read(value)


def _make_model(kind: Any, value: list[Any]) -> Any:
    _check(issubclass(kind, BaseModel), kind)
    own, extra, fields_set = value
    made = kind.__new__(kind)
    object.__setattr__(made, "__dict__", unpack(own))
    object.__setattr__(made, "__pydantic_extra__", extra if extra is None else unpack(extra))
    object.__setattr__(made, "__pydantic_fields_set__", set(fields_set))
    private = {name: attribute.get_default() for name, attribute in kind.__private_attributes__.items()}
    private = {name: default for name, default in private.items() if default is not PydanticUndefined}
    object.__setattr__(made, "__pydantic_private__", private if kind.__private_attributes__ else None)
    return made


def _make_dataclass(kind: Any, value: dict[str, Any]) -> Any:
    _check(is_dataclass(kind), kind)
    made: Any = object.__new__(kind)
    for field in fields(kind):
        object.__setattr__(made, field.name, unpack(value[field.name]))
    return made


def _make_named_tuple(kind: Any, value: list[Any]) -> Any:
    _check(issubclass(kind, tuple) and hasattr(kind, "_fields"), kind)
    return tuple.__new__(kind, unpack(value))


def _make_enum(kind: Any, value: Any) -> Any:
    _check(issubclass(kind, Enum), kind)
    return kind.__members__[value]


def _make_flag(kind: Any, value: int) -> Any:
    _check(issubclass(kind, Flag), kind)
    return kind(value)


def _check(is_it: bool, kind: type) -> None:
    if not is_it:
        raise NotReadable(f"{kind.__module__}.{kind.__qualname__} is a class that does not travel")


_CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "as is": unpack,
    "dict": lambda pairs: {unpack(name): unpack(item) for name, item in pairs},
    "tuple": lambda items: tuple(unpack(items)),
    "set": lambda items: set(unpack(items)),
    "frozenset": lambda items: frozenset(unpack(items)),
    uploads.TAG: uploads.find,
}
_OBJECTS: dict[str, Callable[[type, Any], Any]] = {
    "model": _make_model,
    "dataclass": _make_dataclass,
    "named tuple": _make_named_tuple,
    "enum": _make_enum,
    "flag": _make_flag,
}
