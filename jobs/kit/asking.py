"""Args that ask for another job, as `on_dead_token` does. Callers who may not enqueue that job may not ask for it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import to_json

if TYPE_CHECKING:
    from jobs.kit.kind import Kind

_POSTS = "send_webhook"


class AsksForJob:
    """Marks a field of args whose value, if any, asks for a job: `{kind, args?}`, or `{url, …}` for a webhook."""


class Asked(NamedTuple):
    """A job that args ask for; `label` is what it counts as, if its kind's lane has one."""

    kind: "Kind[Any, Any]"
    label: str | None


def asked_by(kinds: "Mapping[str, Kind[Any, Any]]", kind: str, args: Any) -> Iterator[Asked]:
    """Yield the jobs that a kind's args, as JSON, ask for at any depth."""
    if kind not in kinds or not isinstance(args, dict):
        return
    for name in _asking_fields(kinds[kind]):
        match args.get(name):
            case {"kind": str(asked), **rest} if asked in kinds:
                yield Asked(kinds[asked], _label(kinds[asked], rest.get("args")))
                yield from asked_by(kinds, asked, rest.get("args"))
            case {"url": _} if _POSTS in kinds:
                yield Asked(kinds[_POSTS], None)


def _asking_fields(kind: "Kind[Any, Any]") -> list[str]:
    fields = kind.args_model.model_fields.items()
    return [field.alias or name for name, field in fields if any(isinstance(one, AsksForJob) for one in field.metadata)]


def _label(kind: "Kind[Any, Any]", args: Any) -> str | None:
    with suppress(Exception):  # invalid args have no label, whatever an author's function does with them
        lane = kind.lane_of(kind.load_args(to_json(args or {}).decode()))
        return None if lane is None else lane.label
    return None
