"""What a browser posts for the fields of a form, and the values that this means. Pure.

An entry is named by its place, as in the API's `loc`: `args/to/0`. `/` and `~` in names are written `~1` and
`~0`. `args/to#` says how many items a list has.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import from_json

from jobs.kit.masking import MASK
from service.dashboard.kinds.fields import NOTHING, Field

Entries = Mapping[str, str]
Place = tuple[str | int, ...]
# A list with more items than a page should show is edited as JSON.
MOST_ITEMS = 200
ZONE = "zone"
_ON = "on"


class Unreadable:
    """Stands for text that should be JSON and is not; `reason` says why."""

    def __init__(self, text: str, reason: str) -> None:
        self.text = text
        self.reason = reason


def name_of(place: Place) -> str:
    """Return the name of the entry at a place."""
    return "/".join(str(step).replace("~", "~0").replace("/", "~1") for step in place)


def place_of(name: str) -> Place:
    """Return the place that a name stands for; steps of digits are items of lists."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in name.split("/")]
    return tuple(int(step) if is_number(step) else step for step in steps)


def is_number(text: str) -> bool:
    """Whether a text is a number of items; no list has one of ten digits, and Python refuses to read thousands."""
    return text.isdecimal() and len(text) < 10


def values_of(fields: Sequence[Field], place: Place, entries: Entries) -> dict[str, Any]:
    """Return the values of fields, leaving out empty ones and defaults."""
    values = {field.name: value_of(field, (*place, field.name), entries) for field in fields}
    return {field.name: values[field.name] for field in fields if _is_given(field, values[field.name])}


def _is_given(field: Field, value: Any) -> bool:
    return value is not NOTHING and (field.required or not _is_same(value, field.default))


def _is_same(value: Any, default: Any) -> bool:
    """Compare as JSON does, in which 1 is not true."""
    return default is not NOTHING and repr(value) == repr(default)


def value_of(field: Field, place: Place, entries: Entries) -> Any:
    """Return the value at a place. What cannot be read stays text: the kind says what is wrong with it."""
    if field.control == "list" and field.item is not None:
        items = (value_of(field.item, (*place, number), entries) for number in range(count_of(place, entries)))
        return [None if item is NOTHING else item for item in items]
    if field.control == "group":
        is_given = field.required or not _is_untouched(field, place, entries)
        return values_of(field.parts, place, entries) if is_given else NOTHING
    if field.control == "checkbox":
        return name_of(place) in entries
    text = entries.get(name_of(place), "").replace("\r\n", "\n")
    if not text:
        return "" if field.required and field.type == "text" and field.control in ("text", "area") else NOTHING
    return _read(field, text, entries)


def _is_untouched(field: Field, place: Place, entries: Entries) -> bool:
    """Whether a group is as it was first shown."""
    below = f"{name_of(place)}/"
    shown = {name: text for name, text in entries_of(field.parts, place, {}).items() if text}
    return shown == {name: text for name, text in entries.items() if text and name.startswith(below)}


def _read(field: Field, text: str, entries: Entries) -> Any:
    match field.control:
        case "integer" | "number":
            return _number(text.strip())
        case "moment":
            return _moment(text.strip(), entries.get(ZONE, ""))
        case "words":
            return [word.strip() for word in text.split(",") if word.strip()]
        case "json" | "select":
            return read_json(text)
    return text


def count_of(place: Place, entries: Entries) -> int:
    """Return how many items a list has."""
    text = entries.get(f"{name_of(place)}#", "")
    return min(int(text), MOST_ITEMS) if is_number(text) else 0


def _number(text: str) -> Any:
    number = read_json(text)
    return number if isinstance(number, int | float) and not isinstance(number, bool) else text


def read_json(text: str) -> Any:
    """Read typed JSON as requests are read; `Unreadable` if it is not JSON, or nested too deeply."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return Unreadable(text, f"This is not JSON: {error}")


def zone_of(name: str) -> ZoneInfo | None:
    """Return a time zone by its name; None for an unknown one."""
    try:
        return ZoneInfo(name) if name else None
    except (OSError, ValueError):  # even a name that is a path
        return None


def _moment(text: str, zone: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    aware = moment if moment.tzinfo else moment.replace(tzinfo=zone_of(zone) or UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")


def entries_of(fields: Sequence[Field], place: Place, values: Mapping[str, Any]) -> dict[str, str]:
    """Return the entries for these values, and for the defaults of missing ones."""
    entries: dict[str, str] = {}
    for field in fields:
        entries |= _entries_at(field, (*place, field.name), values.get(field.name, field.default))
    return entries


def _entries_at(field: Field, place: Place, value: Any) -> dict[str, str]:
    name = name_of(place)
    if field.control == "list" and field.item is not None:
        # A required list starts with one empty line.
        items = value if isinstance(value, list) else [NOTHING] * field.required
        entries = {f"{name}#": str(len(items))}
        for number, item in enumerate(items[:MOST_ITEMS]):
            entries |= _entries_at(field.item, (*place, number), item)
        return entries
    if field.control == "group":
        return entries_of(field.parts, place, value if isinstance(value, Mapping) else {})
    if field.control == "checkbox":
        return {name: _ON} if value is True else {}
    if value is NOTHING or (value is None and not (field.control == "json" and field.required)):
        return {}
    return {name: _text_of(field, value)}


def _text_of(field: Field, value: Any) -> str:
    match field.control:
        case "words" if isinstance(value, list):
            return ", ".join(map(str, value))
        case "moment":
            return _local(str(value))
        case "json":
            return json.dumps(value, ensure_ascii=False, indent=2)
        case "select":
            return choice_text(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def choice_text(choice: Any) -> str:
    """Return the text for one value of a `select`."""
    return json.dumps(choice, ensure_ascii=False)


def _local(text: str) -> str:
    """Write a moment as `<input type=datetime-local>` takes it, in UTC."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")[:19]
    except ValueError:
        return text


def without_secrets(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as a form may hold them: without secrets, whose masks must not be sent again."""
    known = {field.name: field for field in fields}
    opened = {name: _opened(known[name], value) if name in known else value for name, value in values.items()}
    return {name: value for name, value in opened.items() if value is not NOTHING}


def _opened(field: Field, value: Any) -> Any:
    if isinstance(value, list) and field.item is not None:
        items = (_opened(field.item, one) for one in value)
        return [None if one is NOTHING else one for one in items]
    if isinstance(value, Mapping) and field.control == "group":
        return without_secrets(field.parts, value)
    is_secret = field.control == "secret" or (field.control == "json" and field.has_secrets)
    return NOTHING if is_secret else value


def masked(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as they may be shown: with a mask in place of each secret."""
    known = {field.name: field for field in fields}
    return {name: _masked(known[name], value) if name in known else value for name, value in values.items()}


def _masked(field: Field, value: Any) -> Any:
    if isinstance(value, list) and field.item is not None:
        return [_masked(field.item, one) for one in value]
    if isinstance(value, Mapping) and field.control == "group":
        return masked(field.parts, value)
    is_secret = field.control == "secret" or (field.control == "json" and field.has_secrets)
    return _all_masked(value) if is_secret else value


def _all_masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _all_masked(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_all_masked(one) for one in value]
    return MASK if value else value
