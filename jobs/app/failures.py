"""Why a call failed: the classes whose names are the recorded error types.

Retry
├── AppUnknown          no app is registered by this name
├── AppUnreachable      it did not answer, hung up, fell silent, or is shutting down
├── AppAddressRefused   its address is not public, and the settings do not allow it
├── AppRefused          401, 403: it does not trust the signature
├── FunctionNotOffered  404: it has no such function; perhaps it is being deployed
├── CallRepeated        409: it has had this very attempt before
├── ArgumentsRefused    413, 422: the arguments do not fit the function, or are too large
├── AppError            it answered with another status
└── NotPostlude         it answered 200, but not with the verdict on a function
FailedElsewhere         the function raised: shown as its own error

All are retried: an app that is wrong today may be right after its next deploy.
"""

from datetime import timedelta

from jobs.kit.outcomes import Retry


class AppUnknown(Retry):
    answered = False  # for the breaker: no call to this app can succeed


class AppUnreachable(Retry):
    answered = False

    def __init__(self, message: str, *, after: timedelta | None = None):
        super().__init__(message, after=after, or_later=True)


class AppAddressRefused(Retry):
    answered = False


class AppRefused(Retry): ...


class FunctionNotOffered(Retry):
    answered = True


class CallRepeated(Retry):
    answered = True


class ArgumentsRefused(Retry):
    answered = True


class AppError(Retry): ...


class NotPostlude(Retry): ...
