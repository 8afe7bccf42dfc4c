"""The arguments of a call: bound to the function's parameters, written as JSON, and read back."""

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from postlude.calling.parameters import Parameter, parameters_of
from postlude.calling.refused import CannotTravel
from postlude.calling.tags import NotReadable

Function = Callable[..., Any]

MOST_BYTES = 256_000
"""A little less than the service takes for a job."""


class ArgumentsUnfit(ValueError):
    """The received arguments do not fit the function, which may have changed since they were sent."""


def pack(function: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Write the arguments of a call as JSON, by the names of the function's parameters.

    Raises `CannotTravel`, and `TypeError` if the function cannot be called with them.
    """
    bound, parameters = _bind(function, args, kwargs)
    packed = {name: _pack(function, parameters[name], value) for name, value in bound.arguments.items()}
    _check_size(function, packed)
    return packed


def _check_size(function: Function, packed: Mapping[str, Any]) -> None:
    try:
        size = len(to_json(packed))
    except PydanticSerializationError:
        raise CannotTravel(f"The arguments of {function.__qualname__} are nested too deeply.") from None
    if size > MOST_BYTES:
        raise CannotTravel(
            f"The arguments of {function.__qualname__} are {size:,} bytes of JSON; at most {MOST_BYTES:,} can travel:"
            " save large values, and pass their ids or paths."
        )


def unpack(function: Function, packed: Mapping[str, Any]) -> inspect.BoundArguments:
    """Read arguments. What `Depends` gives is missing in them. Raises `ArgumentsUnfit`."""
    problems: list[str] = []
    for signature, parameters in parameters_of(function):
        if problem := _misfit(parameters, packed):
            problems.append(problem)
            continue
        bound = inspect.BoundArguments(signature, OrderedDict())
        for name in parameters:
            if name in packed:
                bound.arguments[name] = _unpack(function, parameters[name], packed[name])
        return bound
    raise ArgumentsUnfit(f"{function.__qualname__}() {problems[0]}")


def _bind(
    function: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[inspect.BoundArguments, dict[str, Parameter]]:
    problems: list[str] = []
    for signature, parameters in parameters_of(function):
        try:
            bound = signature.bind_partial(*args, **kwargs)
            problem = _misfit(parameters, bound.arguments)
        except TypeError as error:
            problem = str(error)
        if not problem:
            return bound, parameters
        problems.append(problem)
    raise TypeError(f"{function.__qualname__}() {problems[0]}")


def _misfit(parameters: Mapping[str, Parameter], given: Mapping[str, Any]) -> str | None:
    """Return what is wrong with these arguments, if anything is."""
    if unknown := [name for name in given if name not in parameters]:
        return f"got an unexpected argument {unknown[0]!r}"
    missing = [
        one.name for one in parameters.values() if one.is_required and not one.is_solved and one.name not in given
    ]
    return f"missing a required argument: {missing[0]!r}" if missing else None


def _pack(function: Function, parameter: Parameter, value: Any) -> Any:
    try:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return [parameter.pack(item) for item in value]
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            return {name: parameter.pack(item) for name, item in value.items()}
        return parameter.pack(value)
    except CannotTravel as error:
        raise CannotTravel(f"{function.__qualname__}(), argument {parameter.name!r}: {error}.") from None
    except RecursionError:
        raise CannotTravel(
            f"{function.__qualname__}(), argument {parameter.name!r}: it contains itself, or is nested too deeply."
        ) from None


def _unpack(function: Function, parameter: Parameter, packed: Any) -> Any:
    try:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return tuple(parameter.unpack(item) for item in packed)
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            return {name: parameter.unpack(item) for name, item in packed.items()}
        return parameter.unpack(packed)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ArgumentsUnfit(f"{function.__qualname__}(), argument {parameter.name!r}: {first['msg']}") from error
    except (NotReadable, TypeError, AttributeError, RecursionError) as error:
        raise ArgumentsUnfit(f"{function.__qualname__}(), argument {parameter.name!r}: {error}") from error
