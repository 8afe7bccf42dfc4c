"""Names in args that their model does not know: the API refuses them, workers drop them."""

import difflib
from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from types import new_class
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

A = TypeVar("A", bound=BaseModel)
_LONGEST_GUESSED = 100
# As difflib has it.
_ALIKE = 0.6


@cache
def strict_about_names(model: type[A]) -> type[A]:
    """Return `model` if it sets `extra=` itself, otherwise a subclass that forbids unknown names."""
    if "extra" in model.model_config or model.__pydantic_root_model__:
        return model
    body = {
        "model_config": ConfigDict(extra="forbid"),
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        "__doc__": model.__doc__,
    }
    strict: type[A] = new_class(model.__name__, (model,), exec_body=lambda namespace: namespace.update(body))
    return strict


def without_unknown_names(args: Any, error: ValidationError) -> Any | None:
    """Return a copy of args without the names that `error` reports as unknown; None if it reports anything else."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    if any(one["type"] != "extra_forbidden" for one in errors):
        return None
    known = deepcopy(args)
    for one in errors:
        _remove(known, one["loc"])
    return known


def _remove(value: Any, place: tuple[str | int, ...]) -> None:
    """Delete the value at `place`, skipping steps that only validation knows, such as the member of a union."""
    *way, last = place
    for step in way:
        inside = isinstance(value, dict) and step in value
        if inside or (isinstance(value, list) and isinstance(step, int) and step < len(value)):
            value = value[step]
    if isinstance(value, dict):
        value.pop(last, None)


@cache
def names_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the names under which a model's fields are sent."""
    return tuple(model.model_json_schema().get("properties", {}))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return the end of a refusal of an unknown name: ` Did you mean 'default'?`, or nothing if no name is near."""
    near = nearest(name, known)
    return f" Did you mean {near!r}?" if near else ""


def nearest(name: object, known: Iterable[str], alike: float = _ALIKE) -> str | None:
    """Return the known name that a misspelt one probably stands for: at least `alike`, of which 1 is the same."""
    if not isinstance(name, str) or len(name) > _LONGEST_GUESSED:
        return None
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=alike)), None)
