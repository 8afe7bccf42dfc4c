"""A function's own parameters as args: a model made from them, and the call made from the model's values."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.fields import FieldInfo

from jobs.kit.context import Context
from jobs.kit.refused import Refused, describe

A = TypeVar("A", bound=BaseModel)
# How a moved arq function may annotate its ctx: taken as an arg, it would be missing from every job.
_AS_FOR_ARQ = (Any, dict, Mapping)


class FunctionArgs(NamedTuple):
    """The args of a function: their model, and the function as it is called with a context and such args."""

    model: type[BaseModel]
    invoke: Callable[[Context, Any], Any]


def takes_model(parameters: Sequence[Parameter], hints: Mapping[str, Any]) -> bool:
    """Whether a function is `(ctx: Context, args: SomeModel)`, whose args are that model itself."""
    match parameters:
        case [ctx, args] if _is_positional(ctx) and _is_positional(args):
            model = hints.get(args.name)
            is_model = inspect.isclass(model) and issubclass(model, BaseModel)
            return is_model and (ctx.name == "ctx" or is_context(hints.get(ctx.name)))
    return False


def function_args(function: Any, parameters: Sequence[Parameter], hints: Mapping[str, Any]) -> FunctionArgs:
    """Make args from a function's parameters. Raises `Refused`, naming the parameter."""
    slots = _slots(function, parameters, hints)
    fields = {slot.field: slot.definition for slot in slots if slot.field is not None}
    model = _model(function, slots, fields)
    return FunctionArgs(model, _invoke(function, slots))


class _Slot(NamedTuple):
    """A parameter, and the field of the model that its value comes from; without one it gets the context."""

    parameter: Parameter
    field: str | None
    definition: Any = None


def _slots(function: Any, parameters: Sequence[Parameter], hints: Mapping[str, Any]) -> list[_Slot]:
    slots: list[_Slot] = []
    names = {parameter.name for parameter in parameters}
    contexts = []
    for parameter in parameters:
        annotation = hints.get(parameter.name, parameter.annotation)
        _check(function, parameter, annotation)
        if is_context(annotation):
            contexts.append(parameter.name)
            slots.append(_Slot(parameter, None))
            continue
        field = _field_name(parameter.name, names)
        names.add(field)
        slots.append(_Slot(parameter, field, _definition(parameter, annotation, field)))
    if len(contexts) > 1:
        raise Refused(f"{' and '.join(map(repr, contexts))} of {shown(function)} are both the context: keep one")
    return slots


def is_context(annotation: Any) -> bool:
    """Whether a parameter of this type is given the context."""
    if get_origin(annotation) is Annotated:
        return is_context(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return all(member is type(None) or is_context(member) for member in get_args(annotation))
    return inspect.isclass(annotation) and issubclass(annotation, Context)


def _is_positional(parameter: Parameter) -> bool:
    return parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def _check(function: Any, parameter: Parameter, annotation: Any) -> None:
    where = f"parameter '{_stars(parameter)}{parameter.name}' of {shown(function)}"
    if _stars(parameter):
        raise Refused(
            f"{where} takes values without their own name or type: name each parameter, or take one list or dict. If a"
            " decorator hides the function's own parameters, its wrapper needs `@functools.wraps`"
        )
    if annotation is Parameter.empty:
        raise Refused(f"{where} has no annotation{_remedy(parameter.name)}")
    if parameter.name == "ctx" and (get_origin(annotation) or annotation) in _AS_FOR_ARQ:
        raise Refused(f"{where} is annotated as arq's ctx; here it is a Context: write `ctx: Context`")


def _remedy(name: str) -> str:
    if name in ("self", "cls"):
        return ": a kind is a function of its module, not a method of a class"
    if name == "ctx":
        return ": write `ctx: Context`"
    return f": callers could not know what to send; write `{name}: str`, or its real type"


def _stars(parameter: Parameter) -> str:
    return "*" * (parameter.kind is Parameter.VAR_POSITIONAL) + "**" * (parameter.kind is Parameter.VAR_KEYWORD)


def _field_name(name: str, taken: Iterable[str]) -> str:
    """Return the parameter's name or, if a model cannot have such a field, a similar name."""
    if not (name.startswith("_") or hasattr(BaseModel, name)):
        return name
    field = f"{name.strip('_') or 'field'}_"
    while field in taken or hasattr(BaseModel, field):
        field += "_"
    return field


def _definition(parameter: Parameter, annotation: Any, field: str) -> tuple[Any, Any]:
    default = ... if parameter.default is Parameter.empty else parameter.default
    if field != parameter.name and _alias_of(annotation, default) is None:
        annotation = Annotated[annotation, Field(alias=parameter.name)]
    return annotation, default


def _alias_of(annotation: Any, default: Any) -> Any:
    metadata = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    said = [one for one in (*metadata, default) if isinstance(one, FieldInfo)]
    return next((one.alias or one.validation_alias for one in said if one.alias or one.validation_alias), None)


def _model(function: Any, slots: Sequence[_Slot], fields: Mapping[str, Any]) -> type[BaseModel]:
    name = "".join(part[:1].upper() + part[1:] for part in function.__name__.split("_")) + "Args"
    # The author names the fields, and cannot know which names Pydantic reserves.
    config = ConfigDict(protected_namespaces=())
    try:
        model: type[BaseModel] = create_model(name, __config__=config, __module__=function.__module__, **fields)
        model.model_rebuild()
    except Exception as error:
        raise Refused(_unreadable(function, slots, error)) from error
    sent: dict[Any, str] = {}
    for slot in slots:
        if slot.field is None:
            continue
        where = f"parameter {slot.parameter.name!r} of {shown(function)}"
        if slot.field not in model.model_fields:
            raise Refused(f"{where} is annotated as something that is not a value: {slot.definition[0]!r}")
        other = sent.setdefault(model.model_fields[slot.field].alias or slot.field, slot.parameter.name)
        if other != slot.parameter.name:
            raise Refused(f"{where} is sent under the same name as {other!r}")
    return model


def _unreadable(function: Any, slots: Sequence[_Slot], error: Exception) -> str:
    """Say which parameter Pydantic cannot make a field of."""
    for slot in slots:
        if slot.field is None:
            continue
        try:
            TypeAdapter(slot.definition[0])
        except Exception as own:  # noqa: BLE001 - whatever it is, this is the parameter
            where = f"parameter {slot.parameter.name!r} of {shown(function)}"
            reason = describe(own).partition(". Set ")[0]  # its advice would not help here
            return f"{where} has a type that cannot be read from JSON ({reason})"
    return f"the parameters of {shown(function)} make no args ({describe(error)})"


def _invoke(function: Any, slots: Sequence[_Slot]) -> Callable[[Context, BaseModel], Any]:
    positional = [slot.field for slot in slots if slot.parameter.kind is not Parameter.KEYWORD_ONLY]
    named = {slot.parameter.name: slot.field for slot in slots if slot.parameter.kind is Parameter.KEYWORD_ONLY}

    @functools.wraps(function)
    def invoke(ctx: Context, args: BaseModel) -> Any:
        values = args.__dict__
        return function(
            *[ctx if field is None else values[field] for field in positional],
            **{name: ctx if field is None else values[field] for name, field in named.items()},
        )

    return invoke


def shown(function: Any) -> str:
    return f"{function.__qualname__}()"
