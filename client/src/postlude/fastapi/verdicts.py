"""What became of a function, in one line of JSON."""

import json
from pathlib import Path
from traceback import format_exception
from types import TracebackType
from typing import Any, NamedTuple

import anyio
import fastapi
import starlette

import postlude

MOST_RESULT_BYTES = 64 * 1024
MOST_TRACEBACK = 16 * 1024
MOST_MESSAGE = 4 * 1024
_OURS = tuple(str(Path(module.__file__ or "").parent) for module in (anyio, fastapi, postlude, starlette))


class Verdict(NamedTuple):
    """The outcome of an attempt, and its details."""

    outcome: str
    told: dict[str, Any]

    @property
    def is_success(self) -> bool:
        return self.outcome == "succeeded"

    def line(self) -> bytes:
        # ASCII, because a message may hold lone surrogates.
        return json.dumps({"outcome": self.outcome, **self.told}).encode() + b"\n"


INTERRUPTED = Verdict("interrupted", {})
TIMED_OUT = Verdict("timed_out", {})


def succeeded(result: Any) -> Verdict:
    """Leaves out a result that is not JSON, or is large."""
    try:
        is_kept = len(json.dumps(result, allow_nan=False)) <= MOST_RESULT_BYTES
    except (TypeError, ValueError, RecursionError):
        is_kept = False
    return Verdict("succeeded", {"result": result if is_kept else None})


def failed(error: BaseException) -> Verdict:
    trace = "".join(format_exception(type(error), error, _theirs(error.__traceback__)))
    return Verdict(
        "failed",
        {
            "error": {
                "type": type(error).__name__,
                "message": _text(error)[:MOST_MESSAGE],
                "traceback": trace[-MOST_TRACEBACK:],
            }
        },
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - it is the user's code
        return ""


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that begins with the app's own code; all of it, if there is none."""
    theirs = trace
    while theirs is not None and theirs.tb_frame.f_code.co_filename.startswith(_OURS):
        theirs = theirs.tb_next
    return theirs or trace
