"""Whether args are read back from their JSON as they were sent. What is not, is refused before it is stored.

An attempt gets its args from JSON, so what JSON loses (a NaN, an excluded field) or what a validator changes when it
sees its own output would make the job run with other values, or not at all.
"""

import dataclasses
import json
import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator

from jobs.proof import Proof, prove_fields, unwrapped

A = TypeVar("A", bound=BaseModel)
Place = tuple[str | int, ...]
_ESCAPED_NUL = "\\u0000"
# An escape for NUL: an odd number of backslashes before u0000.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_CHANGED = (
    "would be read back from JSON as another value; send what the kind's own validators return, or have its author "
    "make its validators, serializers and aliases undo one another"
)


class ArgsChanged(ValueError):
    """Args would not be read back as they were sent. `errors` says where and why: `loc`, `msg` and `type` of each."""

    def __init__(self, *errors: dict[str, Any]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in errors))
        self.errors = list(errors)


class Written(NamedTuple):
    """Args as JSON: as shown to readers, and whole for the attempt (None where they are the same)."""

    shown: str
    sealed: str | None

    @property
    def whole(self) -> str:
        return self.sealed or self.shown


def check_whole(args: BaseModel, write: Callable[[Any], Written], load: Callable[[str], A]) -> A:
    """Return args as they are read back. Raises `ArgsChanged` unless they are the same."""
    written = _written(args, write)
    _check_json(written.whole)
    again = _loaded(written.whole, load)
    same_text = _written(again, write) == written
    place = difference(args, again, same_text=same_text)
    if place is not None:
        raise ArgsChanged({"loc": list(place), "msg": _CHANGED, "type": "changed_when_read_back"})
    return again


def _written(args: BaseModel, write: Callable[[Any], Written]) -> Written:
    try:
        return write(args)
    except Exception as error:
        msg = f"cannot be written as JSON ({type(error).__name__})"
        raise ArgsChanged({"loc": _unwritable(args), "msg": msg, "type": "not_json"}) from error


def _unwritable(args: BaseModel) -> list[str | int]:
    """Find the field that cannot be written."""
    for name in type(args).model_fields:
        try:
            args.model_dump_json(include={name}, warnings=False)
        except Exception:  # noqa: BLE001 - as above
            return [name]
    return []


def _check_json(text: str) -> None:
    if _ESCAPED_NUL in text and _NUL.search(text):
        msg = "holds the character NUL, which cannot be stored"
        raise ArgsChanged({"loc": [], "msg": msg, "type": "nul"})
    if "NaN" in text or "Infinity" in text:
        json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(constant: str) -> None:
    raise ArgsChanged({"loc": [], "msg": f"JSON has no {constant}", "type": "finite_number"})


def _loaded(text: str, load: Callable[[str], A]) -> A:
    try:
        return load(text)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        raise ArgsChanged(
            *(
                {"loc": list(one["loc"]), "msg": f"would not be read back from JSON: {one['msg']}", "type": one["type"]}
                for one in errors
            )
        ) from error
    except Exception as error:
        msg = f"would not be read back from JSON ({type(error).__name__})"
        raise ArgsChanged({"loc": [], "msg": msg, "type": "not_read_back"}) from error


class RoundTrip:
    """What of a model's args must be tried, since no proof says that it is read back as it was."""

    def __init__(self, model: type[BaseModel]) -> None:
        proofs = prove_fields(model)
        self._trials = None if proofs is None else _trials(model, [name for name, proof in proofs.items() if proof])
        self._sure_without_null = {name for name, proof in (proofs or {}).items() if proof is Proof.UNLESS_NULL}

    @property
    def is_proved(self) -> bool:
        """Whether args of the model need no trial, unless they hold a null."""
        return self._trials is not None and set(self._trials) <= self._sure_without_null

    def holds(self, args: BaseModel, shown: str) -> bool:
        """Whether args that came from JSON are surely read back as they are. False means: look closer."""
        if self._trials is None:
            return False
        if not self._trials:
            return True
        sure = self._sure_without_null if "null" not in shown else ()
        values = args.__dict__
        return all(trial.holds(values[name]) for name, trial in self._trials.items() if name not in sure)


@cache
def round_trip_of(model: type[BaseModel]) -> RoundTrip:
    return RoundTrip(model)


class _Trial:
    """One field, written and read back for itself."""

    def __init__(self, schema: Any, config: Any) -> None:
        self._validator = SchemaValidator(schema, config)
        self._serializer = SchemaSerializer(schema, config)

    def holds(self, value: Any) -> bool:
        try:
            text = self._written(value)
            _check_json(text.decode())
            again = self._validator.validate_json(text, by_alias=True, by_name=True)
            return difference(value, again, same_text=self._written(again) == text) is None
        except Exception:  # noqa: BLE001 - whatever it is, the whole comparison will say it well
            return False

    def _written(self, value: Any) -> bytes:
        return self._serializer.to_json(value, by_alias=True, round_trip=True, warnings=False)


def _trials(model: type[BaseModel], names: list[str]) -> dict[str, _Trial] | None:
    """Make a trial for each field; None where one cannot be tried alone: its JSON may have masks instead of secrets."""
    schema, definitions = unwrapped(model.__pydantic_core_schema__)
    fields = {name: schema["schema"]["fields"][name]["schema"] for name in names}
    if "Secret" in str(fields) + str(definitions):
        return None
    shared = list(definitions.values())
    return {
        name: _Trial({"type": "definitions", "schema": field, "definitions": shared}, schema.get("config"))
        for name, field in fields.items()
    }


def difference(sent: Any, again: Any, *, same_text: bool, place: Place = ()) -> Place | None:
    """Find the first place where what is read back differs from what was sent; None where nothing does.

    `same_text` says that both are the same JSON: enough for objects that cannot be compared.
    """
    if same_text and _equal(sent, again):
        return None
    parts = _parts(sent, again)
    if parts is None:
        return None if _same_leaf(sent, again, same_text) else place
    for name, left, right in parts:
        found = difference(left, right, same_text=same_text, place=(*place, *name))
        if found is not None:
            return found
    return None


def _equal(sent: Any, again: Any) -> bool:
    try:
        return type(sent) is type(again) and bool(sent == again)
    except Exception:  # noqa: BLE001 - an author's __eq__, or an array's
        return False


_Part = tuple[Place, Any, Any]


def _parts(sent: Any, again: Any) -> Iterator[_Part] | None:
    """Pair what is inside of both; None where there is nothing inside, or it cannot be paired."""
    match sent:
        case BaseModel() if isinstance(sent, type(again)) and _names(sent) == _names(again):
            return _of_models(sent, again)
        case dict() if isinstance(again, dict) and sent.keys() == again.keys():
            return (((key if isinstance(key, int) else str(key),), item, again[key]) for key, item in sent.items())
        case list() | tuple() | deque() if isinstance(again, list | tuple | deque) and len(sent) == len(again):
            return (((at,), *both) for at, both in enumerate(zip(sent, again, strict=True)))
        case _ if dataclasses.is_dataclass(sent) and type(sent) is type(again):
            names = [field.name for field in dataclasses.fields(sent)]
            return (((name,), getattr(sent, name, None), getattr(again, name, None)) for name in names)
    return None


def _names(model: BaseModel) -> set[str]:
    return {*type(model).model_fields, *(model.model_extra or {})}


def _of_models(sent: BaseModel, again: BaseModel) -> Iterator[_Part]:
    root = type(sent).__pydantic_root_model__
    for name in type(sent).model_fields:
        yield () if root else (name,), getattr(sent, name), getattr(again, name)
    extras: Mapping[str, Any] = again.model_extra or {}
    for name, item in (sent.model_extra or {}).items():
        yield (name,), item, extras[name]


def _same_leaf(sent: Any, again: Any, same_text: bool) -> bool:
    if isinstance(sent, float) and isinstance(again, float) and math.isnan(sent):
        return math.isnan(again)
    if any(isinstance(sent, sort) is not isinstance(again, sort) for sort in (bool, Enum)):
        return False
    if isinstance(sent, datetime) and isinstance(again, datetime) and sent.tzinfo and again.tzinfo:
        # Python calls a moment in a repeated hour unequal to any in another zone (PEP 495).
        return sent.astimezone(UTC) == again.astimezone(UTC)
    cannot_be_compared = type(sent) is type(again) and getattr(type(sent), "__eq__", None) is object.__eq__
    return same_text if cannot_be_compared else _equal_leaves(sent, again)


def _equal_leaves(sent: Any, again: Any) -> bool:
    if isinstance(sent, BaseModel) or isinstance(again, BaseModel):
        return False
    try:
        return bool(sent == again)
    except Exception:  # noqa: BLE001 - as above
        return False
