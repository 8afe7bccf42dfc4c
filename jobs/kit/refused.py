"""Why a declaration is refused, in words."""

from pydantic.errors import PydanticUserError


class Refused(Exception):
    """A declaration cannot be used. The message says why."""


def describe(error: Exception) -> str:
    """Return the type and the first line of an error that a library raised."""
    text = error.message if isinstance(error, PydanticUserError) else str(error)
    return f"{type(error).__name__}: {text.strip().partition(chr(10))[0]}"
