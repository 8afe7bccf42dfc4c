"""The lanes of a new job: the one that its request names, and the one that its kind derives from its args."""

from typing import Any

from pydantic import BaseModel

from jobs import Kind, Lane
from service.errors import ArgsInvalid
from service.lane_rules import lane_fields


def lanes_for(kind: Kind[Any, Any], args: BaseModel, lane: Lane | None) -> dict[str, str | None]:
    """Return the fields of a new job about its lanes. A lane that request and kind both name counts once.

    Raises `ArgsInvalid`.
    """
    return lane_fields(lane, kind_lane(kind, args))


def kind_lane(kind: Kind[Any, Any], args: BaseModel) -> Lane | None:
    """Ask the kind for the job's lane. Raises `ArgsInvalid` if its lane function fails on the args."""
    try:
        return kind.lane_of(args)
    except Exception as error:
        detail = f"The lane function of {kind.name} failed on the args ({type(error).__name__}: {error})."
        raise ArgsInvalid(detail, errors=[{"loc": [], "msg": detail, "type": "lane_failed"}]) from error
