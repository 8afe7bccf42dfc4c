"""Validation errors, in the words of the API."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

# How Pydantic names a member of an enumeration that a `Literal` allows: <State.FAILED: 'failed'>.
_MEMBER = re.compile(r"<\w+\.\w+: ([^<>]+)>")
# Pydantic's last step, after the key itself, if the key of a mapping does not fit.
_OF_A_KEY = "[key]"
# Pydantic's own steps for the members of a union, such as `function-after[<… object at 0x7f…>(), str]`.
_OF_A_UNION = re.compile(r"(function-(after|before|wrap|plain)|tuple|list|set|dict|nullable)\[|constrained-[a-z]+$")


def shown(errors: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return where and why validation failed, without the input, which may be a secret."""
    return [{"loc": _place(one["loc"]), "msg": _plain(one["msg"]), "type": one["type"]} for one in errors]


def _place(loc: Iterable[Any]) -> list[Any]:
    steps = [step for step in loc if not _OF_A_UNION.match(str(step))]
    return steps[:-1] if steps[-1:] == [_OF_A_KEY] else steps


def _plain(message: str) -> str:
    return _MEMBER.sub(r"\1", message.removeprefix("Value error, ").removeprefix("Assertion failed, "))
