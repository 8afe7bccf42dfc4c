"""What surrounds each call of a kind, in any process: its args are read, its result is written."""

from typing import Any

from pydantic import ValidationError

from jobs import Discard, Kind
from service.ledger.models import Started
from service.lifecycle.args import describe
from service.worker.performing import outcome
from service.worker.performing.outcome import AttemptOutcome
from service.worker.performing.result import kept_result


class KindExited(Exception):
    """A kind, or one of its tasks, called `sys.exit()` or raised something else that would have ended the worker."""


def args_of(started: Started, kind: Kind[Any, Any]) -> Any:
    """Read the attempt's args. Raises `Discard`."""
    try:
        return kind.load_args(started.args)
    except ValidationError as error:
        reason = f"The stored args no longer fit {kind.name}: {describe(error)}"
        raise Discard(reason) from None


def success_of(kind: Kind[Any, Any], value: Any) -> AttemptOutcome:
    """Read what a kind returned. Raises `ResultTooLarge`, and the errors of writing it."""
    return outcome.of_result(kept_result(kind.dump_result(value)), value)
