"""A function that is to be called, as it travels."""

from typing import Any, NamedTuple


class Call(NamedTuple):
    """The name of a function, and its arguments as JSON, by the names of its parameters."""

    function: str
    arguments: dict[str, Any]
