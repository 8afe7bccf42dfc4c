"""What Firebase says about a message that it has not sent. Pure.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode, and "Manage FCM registration tokens".
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

_FCM_ERROR = "google.firebase.fcm.v1.FcmError"
_APNS_ERROR = "google.firebase.fcm.v1.ApnsError"
_BAD_REQUEST = "google.rpc.BadRequest"
_TOKEN_FIELD = "message.token"  # noqa: S105 - a field's name  # nosec B105
# From answers that name no field: "The registration token is not a valid FCM registration token".
_ABOUT_TOKEN = ("not a valid fcm registration token", "invalid registration token")
_APNS_GONE = 410


class FcmError(NamedTuple):
    """`code` is Firebase's own or else the general one; `fields` says which fields are wrong, and how."""

    code: str
    message: str
    fields: Mapping[str, str]
    apns_status: Any = None

    @property
    def reason(self) -> str:
        """All of it in one line."""
        wrong = "; ".join(f"{field}: {why}" for field, why in self.fields.items() if why != self.message)
        told = f"{self.message} ({wrong})" if wrong else self.message
        return f"{self.code}: {told}".strip(": ")

    @property
    def dead_form(self) -> str | None:
        """The code with which Firebase says that the token is dead, or None."""
        if self.code in ("UNREGISTERED", "SENDER_ID_MISMATCH"):
            return self.code
        if self.apns_status == _APNS_GONE:
            return f"{self.code} (APNs {_APNS_GONE})"
        if self.code != "INVALID_ARGUMENT":
            return None
        said = self.message.lower()
        is_named = not self.fields and any(words in said for words in _ABOUT_TOKEN)
        return self.code if is_named or _TOKEN_FIELD in self.fields else None


def read_error(body: bytes) -> FcmError:
    """Read the body of an answer, whatever it is."""
    try:
        said = from_json(body)
    except ValueError:
        return FcmError("", "", {})
    match said:
        case {"error": dict(error)} | [{"error": dict(error)}, *_]:
            return _read(error)
        case _:
            return FcmError("", "", {})


def _read(error: Mapping[str, Any]) -> FcmError:
    own = _first_text(error, _FCM_ERROR, "errorCode", "error_code")
    apns = next((one.get("statusCode") for one in _details(error, _APNS_ERROR)), None)
    return FcmError(own or _text(error.get("status")), _text(error.get("message")), dict(_violations(error)), apns)


def _first_text(error: Mapping[str, Any], sort: str, *names: str) -> str:
    found = (_text(one.get(name)) for one in _details(error, sort) for name in names)
    return next(filter(None, found), "")


def _violations(error: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in _details(error, _BAD_REQUEST):
        for violation in _dicts(one.get("fieldViolations")):
            yield _text(violation.get("field")), _text(violation.get("description"))


def _details(error: Mapping[str, Any], sort: str) -> Iterator[Mapping[str, Any]]:
    # Not compared as a whole: FcmError was called FcmErrorCode before.
    return (one for one in _dicts(error.get("details")) if sort in _text(one.get("@type")))


def _dicts(value: Any) -> Iterator[Mapping[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
