"""Checks, before args are stored, that they are read back from their JSON as they were sent.

An attempt gets its args from JSON. A value that JSON loses (a NaN, an excluded field), or that a validator changes when
it reads its own output, would make the job run with other values, or not at all.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator

from jobs.kit.difference import Place, difference
from jobs.kit.proof import Proof, prove_fields, unwrapped

A = TypeVar("A", bound=BaseModel)
_MOST_LISTED = 5
_ESCAPED_NUL = "\\u0000"
# An escape for NUL: an odd number of backslashes before u0000.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_CHANGED = (
    "would be read back from JSON as another value: send it as the kind's validators return it, or fix its "
    "validators, serializers and aliases so that they undo one another"
)
_NOT_FINITE = "is NaN or infinite, which JSON cannot hold: send a number"


class ArgsChanged(ValueError):
    """Args would not be read back as they were sent. `errors` says where and why, each with `loc`, `msg` and `type`."""

    def __init__(self, *errors: dict[str, Any]) -> None:
        super().__init__(listed(errors))
        self.errors = list(errors)


def listed(errors: Sequence[Mapping[str, Any]], at_top: str = "args") -> str:
    """Return the first few errors in one line: where and why. `at_top` names the place of an error without one."""
    told = [(".".join(map(str, one["loc"])) or at_top, one["msg"]) for one in errors[:_MOST_LISTED]]
    shown = [f"{place}: {msg}" if place else msg for place, msg in told]
    return "; ".join([*shown, "…"] if len(errors) > _MOST_LISTED else shown)


def ended(told: str) -> str:
    """Return a sentence with its end, unless it has one."""
    return told if told.endswith(("?", "…", ".")) else f"{told}."


class Written(NamedTuple):
    """Args as JSON: `shown` to readers, and `sealed` with their secrets for the attempt (None if they have none)."""

    shown: str
    sealed: str | None

    @property
    def whole(self) -> str:
        return self.sealed or self.shown


def check_whole(args: BaseModel, write: Callable[[Any], Written], load: Callable[[str], A]) -> A:
    """Return args as they are read back. Raises `ArgsChanged` unless they are the same."""
    written = written_by(write, args)
    _check_json(written.whole)
    try:
        again = load(written.whole)
    except Exception as error:
        raise ArgsChanged(*_not_read(args, error)) from error
    place = difference(args, again, same_text=written_by(write, again) == written)
    if place is not None:
        raise ArgsChanged(_changed(args, place))
    return again


def written_by(write: Callable[[Any], Written], args: BaseModel) -> Written:
    """Write args. Raises `ArgsChanged` for what JSON cannot hold."""
    try:
        return write(args)
    except Exception as error:
        msg = f"cannot be written as JSON ({type(error).__name__})"
        raise ArgsChanged({"loc": _unwritable(args), "msg": msg, "type": "not_json"}) from error


def _unwritable(args: BaseModel) -> list[str | int]:
    """Return the place of the field that cannot be written."""
    for name in type(args).model_fields:
        try:
            args.model_dump_json(include={name}, warnings=False)
        except Exception:  # noqa: BLE001 - as above
            return [name]
    return []


def _check_json(text: str) -> None:
    if _ESCAPED_NUL in text and _NUL.search(text):
        msg = "contains the character NUL, which cannot be stored"
        raise ArgsChanged({"loc": [], "msg": msg, "type": "nul"})
    if "NaN" in text or "Infinity" in text:
        json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(constant: str) -> None:
    raise ArgsChanged({"loc": [], "msg": f"JSON has no {constant}", "type": "finite_number"})


def _changed(args: BaseModel, place: Place) -> dict[str, Any]:
    msg = _CHANGED if _is_finite(args, place) else _NOT_FINITE
    return {"loc": list(place), "msg": msg, "type": "changed_when_read_back"}


def _not_read(args: BaseModel, error: Exception) -> list[dict[str, Any]]:
    """Return why args could not be read back."""
    if not isinstance(error, ValidationError):
        msg = f"would not be read back from JSON ({type(error).__name__})"
        return [{"loc": [], "msg": msg, "type": "not_read_back"}]
    return [
        {
            "loc": list(one["loc"]),
            "msg": f"would not be read back from JSON: {one['msg']}" if _is_finite(args, one["loc"]) else _NOT_FINITE,
            "type": one["type"],
        }
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _is_finite(args: BaseModel, place: Place) -> bool:
    value: Any = args.model_dump(by_alias=True, warnings=False)
    for step in place:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return True
    return not isinstance(value, float) or math.isfinite(value)


class RoundTrip:
    """The fields of a model that must be tried, because it is not proved that they are read back unchanged."""

    def __init__(self, model: type[BaseModel]) -> None:
        proofs = prove_fields(model)
        self._trials = (
            None if proofs is None else _trials(model, {name: proof for name, proof in proofs.items() if proof})
        )

    @property
    def is_proved(self) -> bool:
        """Whether args of the model need no trial, unless they hold a null."""
        return self._trials is not None and all(trial.is_sure_without_null for trial in self._trials.values())

    def holds(self, args: BaseModel) -> bool:
        """Return whether args from JSON are certainly read back unchanged. False means: compare them whole."""
        if self._trials is None:
            return False
        values = args.__dict__
        return all(trial.holds(values[name]) for name, trial in self._trials.items())


@cache
def round_trip_of(model: type[BaseModel]) -> RoundTrip:
    return RoundTrip(model)


class _Trial:
    """One field, written and read back on its own."""

    def __init__(self, schema: Any, config: Any, *, is_sure_without_null: bool) -> None:
        self.is_sure_without_null = is_sure_without_null
        self._validator = SchemaValidator(schema, config)
        self._serializer = SchemaSerializer(schema, config)

    def holds(self, value: Any) -> bool:
        try:
            text = self._written(value)
            if self.is_sure_without_null and b"null" not in text:
                return True
            _check_json(text.decode())
            again = self._validator.validate_json(text, by_alias=True, by_name=True)
            return difference(value, again, same_text=self._written(again) == text) is None
        except Exception:  # noqa: BLE001 - the whole comparison reports it
            return False

    def _written(self, value: Any) -> bytes:
        return self._serializer.to_json(value, by_alias=True, round_trip=True, warnings=False)


def _trials(model: type[BaseModel], proofs: Mapping[str, Proof]) -> dict[str, _Trial] | None:
    """Return a trial for each field, or None if the JSON of one may hold masks instead of secrets."""
    schema, definitions = unwrapped(model.__pydantic_core_schema__)
    fields = {name: schema["schema"]["fields"][name]["schema"] for name in proofs}
    if "Secret" in str(fields) + str(definitions):
        return None
    shared = list(definitions.values())
    return {
        name: _Trial(
            {"type": "definitions", "schema": field, "definitions": shared},
            schema.get("config"),
            is_sure_without_null=proofs[name] is Proof.UNLESS_NULL,
        )
        for name, field in fields.items()
    }
