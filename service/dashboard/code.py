"""JSON as the pages show it: indented, coloured by classes, and with each secret as the word `secret` on grey."""

import json
from typing import Any

from markupsafe import Markup

from jobs.kit.masking import MASK

_INDENT = "  "
_SECRET = Markup('<span class="secret">secret</span>')


def json_markup(value: Any) -> Markup:
    """Return a JSON value as HTML for a `pre.code`."""
    return Markup("").join(_parts(value, "\n"))


def _parts(value: Any, newline: str) -> list[str]:
    """Return the parts of the text; parts that are not `Markup` are escaped when they are joined."""
    if isinstance(value, dict) and value:
        members = [[_tone("k", key), ": ", *_parts(one, newline + _INDENT)] for key, one in value.items()]
        return _bracketed("{", members, "}", newline)
    if isinstance(value, list) and value:
        return _bracketed("[", [_parts(one, newline + _INDENT) for one in value], "]", newline)
    if value == MASK:
        return [_SECRET]
    return [_tone("s" if isinstance(value, str) else "n", value)]


def _bracketed(opening: str, members: list[list[str]], closing: str, newline: str) -> list[str]:
    parts = [opening]
    for number, member in enumerate(members):
        parts += ["," if number else "", newline + _INDENT, *member]
    return [*parts, newline, closing]


def _tone(name: str, value: Any) -> Markup:
    return Markup('<span class="{}">{}</span>').format(name, json.dumps(value, ensure_ascii=False))
