"""What can go wrong in the client, as a tree. Each message says what to check.

PostludeError
├── SettingsInvalid (ValueError)     a setting, or an argument in place of it, cannot be used
├── NotJson (TypeError)              JSON cannot hold what is to be sent
├── Unreachable (ConnectionError)    nobody answers at the URL, or only a proxy
├── NotPostlude                      something else answers there
├── FileDamaged                      a download has other bytes than were stored
├── WaitTimedOut (TimeoutError)      the job has not ended in time
└── Problem                          the service refuses: see `problems.py`
"""


class PostludeError(Exception):
    """The base of all errors of the client."""

    accepted: int = 0
    """How many jobs of an `enqueue_many` were accepted before it failed."""


class SettingsInvalid(PostludeError, ValueError):
    """A setting cannot be used; the message says what to write instead."""


class NotJson(PostludeError, TypeError):
    """JSON cannot hold what is to be sent."""


class Unreachable(PostludeError, ConnectionError):
    """The service gave no answer. What was sent may have arrived; the same job sent again is one job."""


class NotPostlude(PostludeError):
    """What answers at the URL is not Postlude's API."""


class WaitTimedOut(PostludeError, TimeoutError):
    """The job has not ended in time. It goes on: look it up, or wait again."""


class FileDamaged(PostludeError):
    """A download has come with other bytes than were stored: in the storage, or on the way, something changed them."""


class NotRepeatable(PostludeError):
    """An upload failed midway, and its file cannot be read again from its beginning."""
