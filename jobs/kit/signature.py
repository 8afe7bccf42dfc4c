"""What a function's signature says about its kind: the model of its args, and how its result is written."""

import inspect
import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, NamedTuple, get_args, get_type_hints

from pydantic import BaseModel, TypeAdapter

from jobs.kit.context import Context
from jobs.kit.function_args import function_args, shown, takes_model
from jobs.kit.kind import Kind, is_async
from jobs.kit.refused import Refused, describe
from jobs.kit.thread_context import ThreadContext


class Signature(NamedTuple):
    """`invoke` calls the function with a context and args; None: call the function itself."""

    args_model: type[BaseModel]
    result_adapter: TypeAdapter[Any]
    invoke: Callable[[Context, Any], Any] | None = None


def read_signature(function: Any) -> Signature:
    """Read the signature of a function: `(ctx: Context, args: SomeModel)`, or its own parameters. Raises `Refused`."""
    _check_function(function)
    _check_name_is_free(function)
    hints = _annotations(function)
    _check_context(function, hints)
    parameters = [*inspect.signature(function).parameters.values()]
    result = _result_adapter(hints.pop("return", Any))
    if takes_model(parameters, hints):
        return Signature(_whole(hints[parameters[1].name]), result)
    args = function_args(function, parameters, hints)
    return Signature(args.model, result, args.invoke)


def _check_function(function: Any) -> None:
    if isinstance(function, Kind):
        raise Refused(f"the function is already the kind {function.name!r}; one function is one kind")
    if inspect.isclass(function):
        raise Refused("it decorates a class; it belongs on a function")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise Refused("the function has a `yield`: it must return its result, and report progress with ctx.progress")
    if not inspect.isfunction(function):
        raise Refused(f"it decorates a {type(function).__name__}; it belongs on a function")


def _check_name_is_free(function: Any) -> None:
    """Refuse a second kind on a function of the same name: the module would keep only the second one."""
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


def _check_context(function: Any, hints: Mapping[str, Any]) -> None:
    named = [one for hint in hints.values() for one in (hint, *get_args(hint))]
    if is_async(function) and ThreadContext in named:
        raise Refused(f"{shown(function)} is an `async def`, which runs on the loop: annotate its context as `Context`")


def _annotations(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        remedy = (
            "; what it names must be imported at run time, not under `if TYPE_CHECKING`"
            if isinstance(error, NameError)
            else ""
        )
        reason = f"its annotations cannot be read ({describe(error)}): {_unread(function)}"
        raise Refused(f"{reason} of {shown(function)}{remedy}") from error


def _unread(function: Any) -> str:
    """Say which annotation cannot be read."""
    written = inspect.unwrap(function)
    for name, annotation in _as_written(written).items():
        alone = FunctionType((lambda: None).__code__, written.__globals__)
        alone.__annotations__ = {name: annotation}
        try:
            get_type_hints(alone, include_extras=True)
        except Exception:  # noqa: BLE001 - whatever it is, this is the annotation
            return "the result" if name == "return" else f"parameter {name!r}"
    return "one"


def _as_written(function: Any) -> dict[str, Any]:
    """Return a function's annotations, even if one of them cannot be read."""
    annotations: dict[str, Any]
    if sys.version_info >= (3, 14):  # where annotations are evaluated on access, all at once
        from annotationlib import Format, get_annotations

        annotations = get_annotations(function, format=Format.FORWARDREF)
    else:
        annotations = function.__annotations__
    return annotations


def _whole(model: type[BaseModel]) -> type[BaseModel]:
    try:
        model.model_rebuild()
    except Exception as error:
        raise Refused(f"its args {model.__name__} are not a complete model ({describe(error)})") from error
    return model


def _result_adapter(returns: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(returns)
    except Exception as error:
        raise Refused(
            f"what it returns cannot be written as JSON ({describe(error)}); annotate a type that can"
        ) from error
