"""JSON as it is kept: bounded, and such that it can be read back."""

import json

# Python reads numbers of up to 4,300 digits, and lists in lists some hundred deep: no shorter text can be trouble.
_SURELY_READABLE = 500


class JsonTooLarge(ValueError):
    """A text has more bytes than may be kept."""


def kept_json(text: str, most_bytes: int) -> str:
    """Return JSON as it is kept. Raises `JsonTooLarge`, and `ValueError` where it could not be read back."""
    if len(text) > _SURELY_READABLE or "NaN" in text or "Infinity" in text:
        if (size := len(text.encode())) > most_bytes:
            raise JsonTooLarge(f"it has {size} bytes of JSON, and may have {most_bytes}")
        json.loads(text, parse_constant=_refuse)
    return text.replace("\\u0000", "\\ufffd")


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which is no JSON")
