"""How the result of a step is written as JSON and read back, by the return annotation of its function."""

import functools
import inspect
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter, ValidationError

from jobs.kit.kept_json import JsonTooLarge, kept_json
from jobs.kit.step_errors import StepTooLarge, StepUnwritable

MOST_BYTES = 64 * 1024


class StepForm(NamedTuple):
    """The form of one step's result."""

    name: str
    adapter: TypeAdapter[Any]

    @classmethod
    def of(cls, name: str, function: Any) -> "StepForm":
        """Read the function's return annotation; without one, any JSON will do. Raises `StepUnwritable`."""
        try:
            return cls(name, _adapter_of(function))
        except Exception as error:
            raise StepUnwritable(
                f"step {name!r}: what its function returns cannot be written as JSON ({_first_line(error)}); annotate a"
                " type that can, and import it at run time"
            ) from error

    def write(self, value: Any) -> str:
        """Write a result. Raises `StepUnwritable` and `StepTooLarge`."""
        try:
            text = self.adapter.serializer.to_json(value, by_alias=True, round_trip=True, warnings="error").decode()
            return kept_json(text, MOST_BYTES)
        except JsonTooLarge as error:
            raise StepTooLarge(
                f"step {self.name!r}: its result cannot be kept: {error}. Store it elsewhere, and return its name"
            ) from None
        except Exception as error:
            raise StepUnwritable(
                f"step {self.name!r}: its result cannot be written as JSON ({_first_line(error)}); return what the"
                " annotation says, in types that JSON has"
            ) from error

    def read(self, kept: str) -> Any:
        """Read a result, as each attempt does, even the first one. Raises `StepUnwritable`."""
        try:
            return self.adapter.validate_json(kept, by_alias=True, by_name=True)
        except ValidationError as error:
            raise StepUnwritable(
                f"step {self.name!r}: its kept result does not fit what the function returns ({_first_line(error)});"
                " replay the job from its start if the type has changed since"
            ) from error


def _adapter_of(function: Any) -> TypeAdapter[Any]:
    annotation = _returned(function)
    try:
        return _kept_adapter(annotation)
    except TypeError:  # an annotation that cannot be hashed
        return TypeAdapter(annotation)


def _returned(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isclass(function):
        return function
    if not (inspect.isroutine(function) or inspect.ismethod(function)):
        function = type(function).__call__
    return get_type_hints(function, include_extras=True).get("return", Any)


@functools.lru_cache(maxsize=256)
def _kept_adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
