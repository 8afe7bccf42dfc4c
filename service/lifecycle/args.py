"""A job's args on their way into the ledger: validated, written as JSON, and refused in words that name the field."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from jobs import Kind
from jobs.kit.names import nearest
from jobs.kit.round_trip import ArgsChanged, listed, written_by
from service.errors import ArgsInvalid
from service.misfits import shown

MAX_ARGS_BYTES = 256 * 1024


def accepted_args(kind: Kind[Any, Any], args: BaseModel | Mapping[str, Any] | None) -> BaseModel:
    """Validate args that come from Python code. Raises `ArgsInvalid`, which names each field that does not fit."""
    try:
        accepted: BaseModel = kind.accept(args)
    except ValidationError as error:
        errors = with_nearest_names(describe(error), kind)
        raise ArgsInvalid(f"The args do not fit {kind.name}: {listed(errors)}.", errors=errors) from error
    except ArgsChanged as error:
        raise _changed(kind, error) from error
    return accepted


def written_args(kind: Kind[Any, Any], args: BaseModel) -> tuple[str, str | None]:
    """Return args as JSON: as they are shown and, if that hides secrets, as the kind reads them.

    Raises `ArgsInvalid` if they are too large, or would be read back as something else.
    """
    try:
        visible, sealed = written_by(kind.write, args)
        if len((sealed or visible).encode()) > MAX_ARGS_BYTES:
            raise ArgsInvalid(f"The args of {kind.name} are larger than {MAX_ARGS_BYTES // 1024} KiB as JSON.")
        kind.check_args(args)  # after the size check: large args take long to compare
    except ArgsChanged as error:
        raise _changed(kind, error) from error
    return visible, sealed


def describe(error: ValidationError) -> list[dict[str, Any]]:
    """Say where and why validation failed, without the input, which may be a secret."""
    return shown(error.errors(include_url=False, include_context=False, include_input=False))


def with_nearest_names(errors: Sequence[dict[str, Any]], kind: Kind[Any, Any]) -> list[dict[str, Any]]:
    """Add the most similar known name to each unknown name of the args."""
    return [
        one | {"msg": f"{one['msg']}; {_hint(one['loc'][-1], kind)}"}
        if one["type"] == "extra_forbidden" and len(one["loc"]) == 1
        else one
        for one in errors
    ]


def _hint(name: object, kind: Kind[Any, Any]) -> str:
    near = nearest(name, kind.arg_names)
    return f"did you mean {near!r}?" if near else f"known are: {', '.join(kind.arg_names) or 'none'}"


def _changed(kind: Kind[Any, Any], error: ArgsChanged) -> ArgsInvalid:
    return ArgsInvalid(f"The args of {kind.name} cannot be kept as they were sent: {error}.", errors=error.errors)
