"""What can go wrong, as a tree. Each error knows its HTTP status and title; its message says what to do.

PostludeError
├── NotFound (404)             JobNotFound, FlowNotFound, LaneNotFound, KindNotFound, QueueNotFound, OperationNotFound,
│                              ScheduleNotFound, AppNotFound, WorkerNotFound, StackNotFound
├── Refused (422)              KindUnknown, ArgsInvalid, QueueUnknown, LaneInvalid, FlowInvalid, ParentUnknown,
│                              FlowUnknown, ScheduleInvalid, IdempotencyKeyReused, BadCursor,
│                              SecretUnreadable; of ArgsInvalid: CronExpressionInvalid, TimeZoneInvalid, FilterInvalid
├── Conflict (409)             StateForbids, UniqueKeyTaken, UniqueKeyRunning, IdTaken, ParentFailed,
│                              IdempotencyKeyInFlight, PausedByPattern, ScheduleOfCode, ScheduleChanging,
│                              StockWorkerRuns, OperationEnded, AppSecretDiffers, UserExists, WorkerEnded, WorkerLives
├── Unauthorized (401)         SignInNeeded, SignInRefused
├── HostRefused (421)
├── Forbidden (403)            ScopeMissing, NotForThisKey, CsrfTokenMissing, OriginRefused
├── TooManyRequests (429)
├── BodyTooLarge (413)
├── BodyMalformed (400)
├── MediaTypeRefused (415)
├── TooManyBodies (503)
├── LedgerUnavailable (503)     FateUnknown, LedgerFull (507)
├── TooManyWatchers (503)
└── StartRefused               ends a process at start, as one sentence

`service/access/errors.py` and features have more of their own.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

# How many mistakes in a request are reported.
MOST_ERRORS = 100


class PostludeError(Exception):
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    headers: ClassVar[dict[str, str]] = {}
    retry_after_s: int | None = None

    def __init__(self, detail: str, *, errors: list[dict[str, Any]] | None = None):
        super().__init__(detail)
        self.detail = detail
        self.errors = errors


class NotFound(PostludeError):
    status, title = 404, "Not found"


class JobNotFound(NotFound):
    title = "Job not found"


class OperationNotFound(NotFound):
    title = "Operation not found"


class FailureNotFound(NotFound):
    title = "Failure not found"


class FlowNotFound(NotFound):
    title = "Flow not found"


class LaneNotFound(NotFound):
    title = "Lane not found"


class KindNotFound(NotFound):
    title = "Kind not found"


class QueueNotFound(NotFound):
    title = "Queue not found"


class ScheduleNotFound(NotFound):
    title = "Schedule not found"


class AppNotFound(NotFound):
    title = "App not found"


class WorkerNotFound(NotFound):
    title = "Worker not found"


class StackNotFound(NotFound):
    title = "No stack was asked for"


class Refused(PostludeError):
    status, title = 422, "Request refused"


class KindUnknown(Refused):
    title = "Kind unknown"


class QueueUnknown(Refused):
    title = "Queue unknown"


class LaneInvalid(Refused):
    title = "Lane invalid"


class FlowInvalid(Refused):
    """Its jobs cannot be put in an order: they wait for one another, or for a job that does not exist."""

    title = "Flow invalid"


class ParentUnknown(Refused):
    title = "A job of `after` is unknown"


class FlowUnknown(Refused):
    title = "Flow unknown"


class ScheduleInvalid(Refused):
    title = "Schedule invalid"


class ArgsInvalid(Refused):
    title = "Args invalid"


class CronExpressionInvalid(ArgsInvalid):
    title = "Cron expression invalid"


class TimeZoneInvalid(ArgsInvalid):
    title = "Time zone invalid"


class FilterInvalid(ArgsInvalid):
    title = "Filter invalid"


class SecretUnreadable(Refused):
    """It was sealed with a key that this process does not have, or has been changed since."""

    title = "A secret cannot be read"


class BadCursor(Refused):
    title = "Cursor not valid"


class IdempotencyKeyReused(Refused):
    title = "Idempotency key reused with another body"


class Conflict(PostludeError):
    status, title = 409, "Conflict"


class StateForbids(Conflict):
    title = "The job's state forbids this"


class UserExists(Conflict):
    title = "The user already exists"


class OperationEnded(Conflict):
    title = "The operation has ended"


class UniqueKeyTaken(Conflict):
    title = "Unique key taken"


class UniqueKeyRunning(Conflict):
    title = "The job with this unique key is running"


class IdTaken(Conflict):
    title = "Id taken"


class ParentFailed(Conflict):
    title = "A job that this one needs has failed"


class PausedByPattern(Conflict):
    title = "Paused by a pattern"


class ScheduleOfCode(Conflict):
    title = "The schedule is a kind's own"


class ScheduleChanging(Conflict):
    title = "Somebody is changing the schedule"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class StockWorkerRuns(Conflict):
    title = "A stock worker is running"


class AppSecretDiffers(Conflict):
    title = "The app has another secret"


class WorkerEnded(Conflict):
    title = "The worker has ended"


class WorkerLives(Conflict):
    title = "The worker is not dead"


class IdempotencyKeyInFlight(Conflict):
    title = "A request with this idempotency key is in flight"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class Unauthorized(PostludeError):
    status, title = 401, "Unauthorized"
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class SignInNeeded(Unauthorized):
    title = "Sign in first"
    headers: ClassVar[dict[str, str]] = {}


class Forbidden(PostludeError):
    status, title = 403, "Forbidden"


class ScopeMissing(Forbidden):
    title = "Scope missing"


class NotForThisKey(Forbidden):
    """The key is limited to kinds or queues, and this is beyond them."""

    title = "Not for this key"


class CsrfTokenMissing(Forbidden):
    title = "The form is not one of this session"


class TooManyRequests(PostludeError):
    status, title = 429, "Too many requests"

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class SignInRefused(Unauthorized):
    title = "Sign-in refused"
    headers: ClassVar[dict[str, str]] = {}


class HostRefused(PostludeError):
    status, title = 421, "Host refused"


class OriginRefused(Forbidden):
    title = "Origin refused"


class BodyTooLarge(PostludeError):
    status, title = 413, "Body too large"


class BodyMalformed(PostludeError):
    status, title = 400, "Body malformed"


class MediaTypeRefused(PostludeError):
    status, title = 415, "Media type refused"


class TooManyBodies(PostludeError):
    status, title = 503, "Too many large bodies at once"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "2"}


class LedgerUnavailable(PostludeError):
    """The database did not answer, or did not take a write. The same request may be sent again."""

    status, title = 503, "Ledger unavailable"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "2"}


class FateUnknown(LedgerUnavailable):
    """The database did not confirm a write, which may or may not be recorded. `reason` starts the sentence.

    `advice` fits any write; a request that may carry an Idempotency-Key has better advice.
    """

    title = "Ledger unavailable, fate unknown"

    def __init__(self, reason: str, advice: str = "Check whether it was recorded before you send it again."):
        super().__init__(f"{reason}: it may be recorded, or not. {advice}")
        self.reason = reason


class LedgerFull(LedgerUnavailable):
    """The database's disk is full: nothing was accepted."""

    status, title = 507, "Ledger full"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "10"}


class TooManyWatchers(PostludeError):
    status, title = 503, "Too many watchers"
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class StartRefused(PostludeError):
    """A process cannot start under these conditions. The message says why and what to do."""

    title = "Start refused"


def type_of(name: str) -> str:
    """Make a problem's type from a name: of a class, or a phrase."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "-", name.replace(" ", ""))
    return f"urn:postlude:problem:{words.lower()}"


@contextmanager
def located(*place: str | int) -> Iterator[None]:
    """Turn a refusal into one of a part of the request: the mistakes are at `place`, or below it."""
    try:
        yield
    except Refused as error:
        raise type(error)(error.detail, errors=placed(error, *place)) from error


def placed(error: Refused, *place: str | int, sort: str = "value_error") -> list[dict[str, Any]]:
    """Return the mistakes as they are at `place`, or below it; `sort` is the type of an error without parts."""
    errors = error.errors or [{"loc": [], "msg": error.detail, "type": sort}]
    return [one | {"loc": [*place, *one["loc"]]} for one in errors]
