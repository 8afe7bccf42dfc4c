"""What can go wrong with keys, users and sign-ins; see `service/errors.py`."""

from service.errors import Forbidden, NotFound, TooManyRequests


class KeyNotFound(NotFound):
    title = "Key not found"


class UserNotFound(NotFound):
    title = "User not found"


class ArgsHidden(Forbidden):
    title = "Args are hidden"


class RateLimited(TooManyRequests):
    title = "Rate limited"


class TooManyWrongKeys(TooManyRequests):
    title = "Too many wrong keys"


class TooManySignIns(TooManyRequests):
    title = "Too many failed sign-ins"
