"""A kind's result as the ledger stores it."""

from jobs import Discard
from jobs.kit.kept_json import JsonTooLarge, kept_json

MAX_RESULT_BYTES = 256 * 1024


class ResultTooLarge(Discard):
    """A result is larger than the ledger allows. Another attempt would do the work once more, and return as much."""


def kept_result(result: str) -> str:
    """Return a result's JSON as the ledger stores it. Raises `ResultTooLarge`, and `ValueError`."""
    try:
        return kept_json(result, MAX_RESULT_BYTES)
    except JsonTooLarge as error:
        raise ResultTooLarge(
            f"The result cannot be kept: {error}. Keep it elsewhere, such as in a file, and return its id."
        ) from None
