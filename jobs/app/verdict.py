"""What an app reports about a function that it ran: the last line of its answer. Pure."""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue, TypeAdapter

LONGEST_RESULT = 64 * 1024  # apps send none longer


class FunctionError(BaseModel):
    type: str
    message: str = ""
    traceback: str = ""


class Succeeded(BaseModel):
    outcome: Literal["succeeded"]
    result: JsonValue = None


class Failed(BaseModel):
    outcome: Literal["failed"]
    error: FunctionError


class TimedOut(BaseModel):
    outcome: Literal["timed_out"]


class Interrupted(BaseModel):
    outcome: Literal["interrupted"]


Verdict = Annotated[Succeeded | Failed | TimedOut | Interrupted, Field(discriminator="outcome")]
_verdict: TypeAdapter[Verdict] = TypeAdapter(Verdict)


def read_verdict(line: str) -> Verdict:
    """Read a line, leaving out a result that is too long to keep. Raises `ValueError`."""
    verdict = _verdict.validate_json(line if "\\ud" not in line else _readable(line))
    if isinstance(verdict, Succeeded) and len(line) > LONGEST_RESULT:
        verdict.result = None
    return verdict


def _readable(line: str) -> bytes:
    """Rewrite a line. An error's text may not be valid Unicode: Python's JSON writes it, but Pydantic refuses it."""
    try:
        return json.dumps(json.loads(line), ensure_ascii=False).encode(errors="replace")
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
