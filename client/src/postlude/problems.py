"""The service's problems: one class for each type, as RFC 9457 describes them.

Problem
├── BodyMalformed (400)        UploadMalformed
├── Unauthorized (401)
├── Forbidden (403)            OriginRefused
├── NotFound (404)             JobNotFound, FlowNotFound, LaneNotFound, KindNotFound, QueueNotFound,
│                              OperationNotFound, ScheduleNotFound, AppNotFound, KeyNotFound,
│                              WorkerNotFound, StackNotFound, FailureNotFound, FileNotFound
├── MethodNotAllowed (405)
├── Conflict (409)             StateForbids, UniqueKeyTaken, UniqueKeyRunning, IdTaken, ParentFailed,
│                              IdempotencyKeyInFlight, PausedByPattern, ScheduleOfCode, ScheduleChanging,
│                              StockWorkerRuns, OperationEnded, AppSecretDiffers, WorkerEnded,
│                              WorkerLives, FileStillUsed
├── UploadTooSlow (408)
├── FileNotWanted (412)
├── BodyTooLarge (413)         FileTooLarge
├── MediaTypeRefused (415)     FileTypeRefused
├── RangeUnsatisfiable (416)
├── HostRefused (421)
├── Refused (422)              KindUnknown, ArgsInvalid, QueueUnknown, LaneInvalid, FlowInvalid, ParentUnknown,
│                              FlowUnknown, ScheduleInvalid, IdempotencyKeyReused, BadCursor,
│                              SecretUnreadable, UploadRefused;
│                              of ArgsInvalid: CronExpressionInvalid, TimeZoneInvalid, FilterInvalid
├── InternalError (500)
└── Unavailable (503, 507)     TooManyBodies, TooManyWatchers, LedgerUnavailable: FateUnknown, LedgerFull;
                               FilesUnavailable, FilesFull
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from postlude.errors import PostludeError

TYPE = "urn:postlude:problem:"


class Problem(PostludeError):
    """The service's answer when it refuses a request."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(problem)
        self.problem = dict(problem)

    @property
    def type(self) -> str:
        return str(self.problem.get("type", "about:blank"))

    @property
    def status(self) -> int:
        return int(self.problem.get("status", 0))

    @property
    def title(self) -> str:
        return str(self.problem.get("title", ""))

    @property
    def detail(self) -> str:
        return str(self.problem.get("detail", ""))

    @property
    def errors(self) -> list[dict[str, Any]]:
        """What is wrong at each place of the request: `loc`, `msg` and `type`."""
        return list(self.problem.get("errors") or ())

    def __str__(self) -> str:
        more = [told for one in self.errors if (told := _told(one, self.detail)) not in self.detail]
        return " ".join(filter(None, (self.detail or self.title, "; ".join(more))))


def _told(error: Mapping[str, Any], detail: str) -> str:
    """Say where and why. Only why, if there is one place that it can be, and `detail` says it."""
    place, msg = error.get("loc") or (), str(error.get("msg"))
    if not place or msg == detail or (len(place) == 1 and msg in detail):
        return msg
    return f"{'.'.join(map(str, place))}: {msg}"


class BodyMalformed(Problem): ...


class UploadMalformed(BodyMalformed): ...


class Unauthorized(Problem):
    def __str__(self) -> str:
        return f"{super().__str__()} Set POSTLUDE_API_KEY, or pass the client its `key`."


class Forbidden(Problem): ...


class OriginRefused(Forbidden): ...


class ScopeMissing(Forbidden): ...


class NotForThisKey(Forbidden): ...


class ArgsHidden(Forbidden): ...


class NotFound(Problem): ...


class JobNotFound(NotFound): ...


class FileNotFound(NotFound): ...


class FlowNotFound(NotFound): ...


class LaneNotFound(NotFound): ...


class KindNotFound(NotFound): ...


class QueueNotFound(NotFound): ...


class OperationNotFound(NotFound): ...


class ScheduleNotFound(NotFound): ...


class AppNotFound(NotFound): ...


class KeyNotFound(NotFound): ...


class WorkerNotFound(NotFound): ...


class StackNotFound(NotFound): ...


class FailureNotFound(NotFound): ...


class MethodNotAllowed(Problem): ...


class Conflict(Problem): ...


class StateForbids(Conflict): ...


class FileStillUsed(Conflict): ...


class UniqueKeyTaken(Conflict): ...


class UniqueKeyRunning(Conflict): ...


class IdTaken(Conflict): ...


class ParentFailed(Conflict): ...


class IdempotencyKeyInFlight(Conflict): ...


class PausedByPattern(Conflict): ...


class ScheduleOfCode(Conflict): ...


class ScheduleChanging(Conflict): ...


class StockWorkerRuns(Conflict): ...


class OperationEnded(Conflict): ...


class AppSecretDiffers(Conflict): ...


class WorkerEnded(Conflict): ...


class WorkerLives(Conflict): ...


class UploadTooSlow(Problem): ...


class BodyTooLarge(Problem): ...


class FileTooLarge(BodyTooLarge): ...


class MediaTypeRefused(Problem): ...


class FileTypeRefused(MediaTypeRefused): ...


class FileNotWanted(Problem): ...


class RangeUnsatisfiable(Problem): ...


class HostRefused(Problem): ...


class Refused(Problem): ...


class UploadRefused(Refused): ...


class KindUnknown(Refused): ...


class ArgsInvalid(Refused): ...


class CronExpressionInvalid(ArgsInvalid): ...


class TimeZoneInvalid(ArgsInvalid): ...


class FilterInvalid(ArgsInvalid): ...


class QueueUnknown(Refused): ...


class LaneInvalid(Refused): ...


class FlowInvalid(Refused): ...


class ParentUnknown(Refused): ...


class FlowUnknown(Refused): ...


class ScheduleInvalid(Refused): ...


class IdempotencyKeyReused(Refused): ...


class SecretUnreadable(Refused): ...


class BadCursor(Refused): ...


class InternalError(Problem): ...


class Unavailable(Problem): ...


class TooManyRequests(Unavailable): ...


class RateLimited(TooManyRequests): ...


class TooManyWrongKeys(TooManyRequests): ...


class TooManyBodies(Unavailable): ...


class TooManyWatchers(Unavailable): ...


class FilesUnavailable(Unavailable): ...


class FilesFull(Unavailable): ...


class LedgerUnavailable(Unavailable): ...


class FateUnknown(LedgerUnavailable):
    """The job may or may not be recorded. The same job sent again is one job."""


class LedgerFull(LedgerUnavailable): ...


def _tree(above: type[Problem]) -> Iterator[type[Problem]]:
    for one in above.__subclasses__():
        yield one
        yield from _tree(one)


def _type_of(problem: type[Problem]) -> str:
    return TYPE + re.sub(r"(?<!^)(?=[A-Z])", "-", problem.__name__).lower()


BY_TYPE = {_type_of(problem): problem for problem in _tree(Problem)}
# For a type newer than this client.
_BY_STATUS: dict[int, type[Problem]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: BodyTooLarge,
    422: Refused,
    429: Unavailable,
    503: Unavailable,
    507: Unavailable,
}


def problem_of(problem: Mapping[str, Any]) -> Problem:
    """Make the error for a problem from the service."""
    found = BY_TYPE.get(str(problem.get("type"))) or _BY_STATUS.get(int(problem.get("status", 0)), Problem)
    return found(problem)
