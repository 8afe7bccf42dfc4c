"""The fingerprint of a failure: what it has in common with others that need the same fix."""

from hashlib import sha256

from service.ledger.failure import Failure

_DIGITS = 16


def fingerprint_of(kind: str, failure: Failure) -> str:
    """Name the group by the job's label or kind, the type of the error, and the function that raised it.

    The line number is left out: an edit above it would make another group.
    """
    function = failure.place.function if failure.place else ""
    told = "\0".join((kind, failure.type, function))
    return sha256(told.encode(errors="replace")).hexdigest()[:_DIGITS]
