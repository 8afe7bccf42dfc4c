"""What a function's signature says about its kind: the model of its args, and how its result is written."""

import inspect
import sys
from typing import Any, NamedTuple, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError

from jobs.kit.kind import Kind


class Refused(Exception):
    """A declaration cannot be used. The message says why."""


class Signature(NamedTuple):
    args_model: type[BaseModel]
    result_adapter: TypeAdapter[Any]


def read_signature(function: Any) -> Signature:
    """Read `async def function(ctx: Context, args: SomeModel) -> result`. Raises `Refused`."""
    _check_function(function)
    _check_name_is_free(function)
    parameters = list(inspect.signature(function).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) != 2 or any(parameter.kind not in positional for parameter in parameters):
        raise Refused("the function takes exactly two parameters: `ctx: Context` and `args` of a Pydantic model")
    hints = _annotations(function)
    return Signature(_args_model(hints, parameters[1].name), _result_adapter(hints.get("return", Any)))


def describe(error: Exception) -> str:
    """Return the type and the first line of an error that a library raised."""
    text = error.message if isinstance(error, PydanticUserError) else str(error)
    return f"{type(error).__name__}: {text.strip().partition(chr(10))[0]}"


def _check_function(function: Any) -> None:
    if isinstance(function, Kind):
        raise Refused(f"the function is the kind {function.name!r} already; one function is one kind")
    if inspect.isclass(function):
        raise Refused("it decorates a class; it belongs on a function, declared with `async def`")
    if inspect.isasyncgenfunction(function):
        raise Refused("the function has a `yield`: it must return its result, and tell how far it is by ctx.progress")
    if not inspect.isfunction(function):
        raise Refused(f"it decorates a {type(function).__name__}; it belongs on a function, declared with `async def`")
    if not inspect.iscoroutinefunction(function):
        raise Refused(
            "the function must be declared with `async def`; run blocking work by `await ctx.thread(fn, ...)`"
        )


def _check_name_is_free(function: Any) -> None:
    """Refuse a second kind on a function of the same name: the module would keep the second one only."""
    name = function.__name__
    known = vars(sys.modules.get(function.__module__, object)).get(name) if function.__qualname__ == name else None
    if not isinstance(known, Kind) or known.function.__module__ != function.__module__:
        return
    if _line(known.function) != _line(function):  # the same line runs again when a module is reloaded
        raise Refused(
            f"its function has the name of another kind's function, `{name}` of {known.name!r}, which would be lost:"
            " rename one of the two"
        )


def _line(function: Any) -> tuple[str, int]:
    code = inspect.unwrap(function).__code__
    return code.co_filename, code.co_firstlineno


def _annotations(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        raise Refused(
            f"its annotations cannot be read ({describe(error)}); what they name must be imported at run time,"
            " not under `if TYPE_CHECKING`"
        ) from error


def _args_model(hints: dict[str, Any], parameter: str) -> type[BaseModel]:
    model = hints.get(parameter)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise Refused(f"parameter {parameter!r} must be annotated with a Pydantic model")
    try:
        model.model_rebuild()
    except Exception as error:
        raise Refused(f"its args {model.__name__} are not a whole model ({describe(error)})") from error
    return model


def _result_adapter(returns: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(returns)
    except Exception as error:
        raise Refused(
            f"what it returns cannot be written as JSON ({describe(error)}); annotate a type that can"
        ) from error
