"""JSON as it is stored: bounded, and readable again."""

import json

# Python reads numbers of up to 4,300 digits, and lists nested some hundred deep: no shorter text can be a problem.
_SURELY_READABLE = 500


class JsonTooLarge(ValueError):
    """A text has more bytes than may be stored."""


def kept_json(text: str, most_bytes: int) -> str:
    """Return JSON as it is stored. Raises `JsonTooLarge`, and `ValueError` if it could not be read back."""
    if len(text) > _SURELY_READABLE or "NaN" in text or "Infinity" in text:
        if (size := len(text.encode())) > most_bytes:
            raise JsonTooLarge(f"it has {size} bytes of JSON, but may have at most {most_bytes}")
        json.loads(text, parse_constant=_refuse)
    return text.replace("\\u0000", "\\ufffd")


def _refuse(constant: str) -> None:
    raise ValueError(f"it contains {constant}, which is not JSON")
