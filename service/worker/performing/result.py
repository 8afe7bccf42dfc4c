"""A kind's result as the ledger keeps it: bounded, and JSON that can be read back."""

import json

MAX_RESULT_BYTES = 256 * 1024
# Python reads numbers of up to 4,300 digits, and lists in lists some hundred deep: no shorter result can be trouble.
_SURELY_READABLE = 500


class ResultTooLarge(Exception):
    """A result is larger than the ledger takes."""


def kept_result(result: str) -> str:
    """Return a result's JSON as the ledger keeps it. Raises `ResultTooLarge`, and what `json.loads` does."""
    if len(result) > _SURELY_READABLE or "NaN" in result or "Infinity" in result:
        if len(result.encode()) > MAX_RESULT_BYTES:
            raise ResultTooLarge(
                f"The result has {len(result)} characters of JSON; at most {MAX_RESULT_BYTES} bytes are kept."
            )
        json.loads(result, parse_constant=_refuse)  # what cannot be read back must not be kept
    return result.replace("\\u0000", "\\ufffd")


def _refuse(constant: str) -> None:
    raise ValueError(f"the result holds {constant}, which is no JSON")
