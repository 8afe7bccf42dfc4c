"""The parameters of a function: which of them travel, and how each is written and read."""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from pydantic import PydanticUserError, TypeAdapter
from pydantic_core import from_json, to_json

from postlude.calling import tags
from postlude.calling.same import same

Function = Callable[..., Any]

_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Parameter:
    """One parameter."""

    def __init__(self, parameter: inspect.Parameter, annotation: Any) -> None:
        self.name, self.kind, self.annotation = parameter.name, parameter.kind, annotation
        self.is_many = parameter.kind in _MANY
        self.is_required = parameter.default is parameter.empty and not self.is_many
        self.is_solved = _is_depends(parameter.default) or any(map(_is_depends, _metadata(annotation)))
        """Whether FastAPI supplies it, not the caller."""
        self._adapter = None if annotation in (parameter.empty, Any) else _adapter(annotation)

    def pack(self, value: Any) -> Any:
        """Return a value as JSON: as its annotation writes it if that reads back the same, otherwise with tags."""
        if self._adapter is None:
            return tags.pack(value)
        packed = _clean(self._adapter, value)
        return tags.as_is(value) if packed is _UNCLEAN else packed

    def unpack(self, packed: Any) -> Any:
        """Return the value. Raises `ValueError`: `NotReadable` or Pydantic's `ValidationError`."""
        if self._adapter is None or tags.has_tags(packed):
            return tags.unpack(packed)
        return self._adapter.validate_json(to_json(packed))


_UNCLEAN = object()


def _clean(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        written = adapter.dump_json(value, by_alias=True, exclude_unset=True, warnings=False)
        packed = from_json(written)
        if same(adapter.validate_json(written), value) and not tags.has_tags(packed) and _is_plain(packed):
            return packed
    except Exception:  # noqa: BLE001 - serializers and validators are the user's, and may raise anything
        return _UNCLEAN
    return _UNCLEAN


def _is_plain(packed: Any) -> bool:
    return bool(tags.pack(packed) == packed)


def parameters_of(function: Function) -> Iterator[tuple[inspect.Signature, dict[str, Parameter]]]:
    """Return a function's parameters: those of the function it wraps, or its own."""
    yield _read(function, True)
    if hasattr(function, "__wrapped__"):
        yield _read(function, False)


def solved_parameters(function: Function, bound: inspect.BoundArguments) -> list[inspect.Parameter]:
    """Return the parameters that FastAPI supplies, as for an endpoint."""
    parameters = next(parameters for signature, parameters in parameters_of(function) if signature is bound.signature)
    return [
        bound.signature.parameters[name].replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=one.annotation)
        for name, one in parameters.items()
        if one.is_solved and name not in bound.arguments
    ]


def _read(function: Function, follow_wrapped: bool) -> tuple[inspect.Signature, dict[str, Parameter]]:
    try:
        return _known[function][follow_wrapped]
    except KeyError:
        signature = _signature(function, follow_wrapped)
        hints = _hints(function, signature)
        parameters = {name: Parameter(one, hints.get(name, one.empty)) for name, one in signature.parameters.items()}
        _known.setdefault(function, {})[follow_wrapped] = signature, parameters
        return signature, parameters


_known: WeakKeyDictionary[Function, dict[bool, tuple[inspect.Signature, dict[str, Parameter]]]] = WeakKeyDictionary()


def _signature(function: Function, follow_wrapped: bool) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, follow_wrapped=follow_wrapped, annotation_format=Format.FORWARDREF)
    return inspect.signature(function, follow_wrapped=follow_wrapped)


def _hints(function: Function, signature: inspect.Signature) -> dict[str, Any]:
    """Return the annotations that can be evaluated: names imported only for type checkers cannot."""
    hints: dict[str, Any] = {}
    module = inspect.unwrap(function).__module__
    for name, parameter in signature.parameters.items():
        if parameter.annotation is not parameter.empty:
            holder: Any = type("Holder", (), {"__annotations__": {name: parameter.annotation}, "__module__": module})
            with suppress(Exception):  # annotations can be any code
                hints |= get_type_hints(holder, include_extras=True)
    return hints


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """Return the reader of an annotation; None if Pydantic has none."""
    try:
        return TypeAdapter(annotation)
    except (PydanticUserError, TypeError, NameError, AttributeError):
        return None


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()


def _is_depends(value: Any) -> bool:
    """Whether a value is FastAPI's `Depends(…)` or `Security(…)`, which the client does not import."""
    return any((base.__module__, base.__name__) == ("fastapi.params", "Depends") for base in type(value).__mro__)
