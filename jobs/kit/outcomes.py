"""What a kind may raise to say how its attempt ended, other than by returning or failing."""

from datetime import timedelta

Seconds = float | timedelta


def to_timedelta(value: Seconds) -> timedelta:
    """Read a duration that an author may write as seconds."""
    return value if isinstance(value, timedelta) else timedelta(seconds=value)


class Retry(Exception):
    """Fail this attempt and try again; counts against `max_attempts`.

    `after` is the wait in seconds or as a timedelta; without it the kind's retry policy decides, and with `or_later`
    the longer of the two counts. `hold_lane` says that the destination is at fault: the lane that the kind derives from
    the args starts nothing for that long.
    """

    # Whether the error shows that the destination of the job answers, or that it does not: for the breaker of its lane.
    answered: bool | None = None

    def __init__(
        self,
        message: str = "the kind asked for another attempt",
        *,
        after: Seconds | None = None,
        or_later: bool = False,
        hold_lane: Seconds | None = None,
    ):
        super().__init__(message)
        self.or_later = or_later
        self.after = None if after is None else to_timedelta(after)
        self.hold_lane = None if hold_lane is None else to_timedelta(hold_lane)


class Snooze(Exception):
    """Put the job off at no cost: neither `failures` nor `crashes` grow. `after` as in `Retry`."""

    def __init__(self, message: str = "", *, after: Seconds):
        super().__init__(message)
        self.after = to_timedelta(after)


class Discard(Exception):
    """Fail the job for good, however many attempts are left. `reason` is kept as the job's error."""

    answered: bool | None = None  # as in `Retry`

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class FailedElsewhere(Retry):
    """Code that runs elsewhere has failed: the job shows the type, message and traceback of its error.

    Retries follow the kind's own policy. The destination that ran the code has answered.
    """

    answered = True

    def __init__(self, type_name: str, message: str, traceback: str | None = None):
        super().__init__(message)
        self.type_name = type_name
        self.traceback = traceback


class PartialResult:
    """Mixed into the result of a kind whose jobs may succeed in part."""

    @property
    def shortfall(self) -> Exception | None:
        """What the job shows as its error although it succeeded: the exception's type and text."""
        return None
