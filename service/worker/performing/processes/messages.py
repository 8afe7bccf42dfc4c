"""The messages between a worker and its children: pickled, each behind its length.

Both ends run this code, as one user and from one checkout, and a kind may do whatever the worker may: pickle gives
nobody a right that they lack.
"""

import pickle
from datetime import datetime
from typing import Any, NamedTuple

from jobs.kit.steps import Given
from service.attempt_lines import KeptLines
from service.ledger.models import Finish, Started

LENGTH_BYTES = 8
# More than may be kept of a job: anything that claims to be longer is no message.
MOST_BYTES = 64 * 1024 * 1024


class NoMessage(Exception):
    """What was read is no message."""


class Setup(NamedTuple):
    """What a child needs before its first attempt."""

    jobs: tuple[str, ...]
    log_level: str
    log_format: Any


class Ready(NamedTuple):
    """The child has loaded the kinds; or it has not, for a reason, and ends."""

    refusal: str | None = None


class Handed(NamedTuple):
    """An attempt to perform, with the service's agreed time."""

    started: Started
    given: Given
    at: datetime


class Begun(NamedTuple):
    """The child has the attempt, and is about to call the kind."""


class Ask(NamedTuple):
    """A call of the context that the worker carries out. The worker may be unable to read its arguments."""

    number: int
    name: str
    sent: bytes

    def read(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the args and the options of the call. Raises whatever reading them does."""
        args, options = pickle.loads(self.sent)  # nosec B301  # noqa: S301 - see above
        return args, options


class Answer(NamedTuple):
    """The result or the error of such a call."""

    number: int
    value: Any = None
    error: BaseException | None = None


class Said(NamedTuple):
    """Lines that the attempt has logged."""

    lines: KeptLines


class Done(NamedTuple):
    """The attempt's end. A worn-out child is not used again."""

    finish: Finish
    worn: bool


Message = Setup | Ready | Handed | Begun | Ask | Answer | Said | Done


def framed(message: Message) -> bytes:
    """Write a message. Raises whatever pickling its values does, and `ValueError` for one that is too long."""
    written = pickle.dumps(message)
    if len(written) > MOST_BYTES:
        raise ValueError(
            f"a message between a worker and its child has {len(written)} bytes, and may have {MOST_BYTES}"
        )
    return len(written).to_bytes(LENGTH_BYTES, "big") + written


def length_of(head: bytes) -> int:
    """Read how long the message is. Raises `NoMessage`."""
    length = int.from_bytes(head, "big")
    if not 0 < length <= MOST_BYTES:
        raise NoMessage(f"a message of {length} bytes was announced")
    return length


def read(written: bytes) -> Message:
    """Read a message. Raises `NoMessage`."""
    try:
        message = pickle.loads(written)  # nosec B301  # noqa: S301 - see above
    except BaseException as error:
        raise NoMessage(f"a message cannot be read ({type(error).__name__})") from error
    if not isinstance(message, Message):
        raise NoMessage(f"a {type(message).__name__} is no message")
    return message


def crossing(error: BaseException) -> BaseException:
    """Return the error in a form that can be sent: if its class cannot be pickled, only its name and text are kept."""
    try:
        pickle.loads(pickle.dumps(error))  # nosec B301  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - a class may do anything when it is pickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
