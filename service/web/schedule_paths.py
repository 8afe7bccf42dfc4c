"""The names of schedules in paths: any text, including slashes."""

from typing import Annotated

from fastapi import Depends, Path
from starlette.convertors import StringConvertor, register_url_convertor

from service.requests.schedule_requests import LONGEST_NAME, check_name

_NAME_PATTERN = r"^[^\s\x00]([^\x00]*[^\s\x00])?$"


class _Schedule(StringConvertor):
    """A name at the end of a path: any text, including slashes, except for the paths of actions."""

    regex = r"(?s:(?!.*/(?:pause|resume|run|next|ticks)$).+)"


register_url_convertor("schedule", _Schedule())

_TEXT = Path(
    description="The schedule's name, percent-encoded. A kind's own schedule is named after the kind.",
    json_schema_extra={"pattern": _NAME_PATTERN, "minLength": 1, "maxLength": LONGEST_NAME},
)


async def _name(name: Annotated[str, _TEXT]) -> str:
    return check_name(name)


ScheduleName = Annotated[str, Depends(_name)]
