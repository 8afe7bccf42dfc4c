"""A call of a function, in the form in which it travels."""

from typing import Any, NamedTuple


class Call(NamedTuple):
    """The name of a function, and its arguments as JSON, by the names of its parameters."""

    function: str
    arguments: dict[str, Any]
