"""What Firebase says, in the bodies that its documentation has and its SDKs were seen to get."""

import json
from typing import Any

import pytest

from jobs.push.fcm_error import read_error

FCM = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
APNS = "type.googleapis.com/google.firebase.fcm.v1.ApnsError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
NOT_VALID = "The registration token is not a valid FCM registration token"
INVALID = "Request contains an invalid argument."


def body(status: str, message: str, *details: dict[str, Any]) -> bytes:
    return json.dumps({"error": {"code": 400, "message": message, "status": status, "details": details}}).encode()


def fcm(code: str) -> dict[str, Any]:
    return {"@type": FCM, "errorCode": code}


def bad(*fields: str) -> dict[str, Any]:
    return {"@type": BAD_REQUEST, "fieldViolations": [{"field": one, "description": "Invalid"} for one in fields]}


DEAD = {
    "UNREGISTERED": [
        body("NOT_FOUND", "Requested entity was not found.", fcm("UNREGISTERED")),
        body("NOT_FOUND", "", {"@type": FCM, "error_code": "UNREGISTERED"}),
        body("NOT_FOUND", "", {"@type": f"{FCM}Code", "errorCode": "UNREGISTERED"}),
        body("UNREGISTERED", ""),
        b"[" + body("NOT_FOUND", "", fcm("UNREGISTERED"), {"@type": APNS, "statusCode": 410}) + b"]",
    ],
    "INVALID_ARGUMENT": [
        body("INVALID_ARGUMENT", NOT_VALID, fcm("INVALID_ARGUMENT")),
        body("INVALID_ARGUMENT", INVALID, fcm("INVALID_ARGUMENT"), bad("message.token")),
        body("INVALID_ARGUMENT", INVALID, bad("message.token")),
        body("INVALID_ARGUMENT", "Invalid registration token"),
    ],
    "SENDER_ID_MISMATCH": [body("PERMISSION_DENIED", "SenderId mismatch", fcm("SENDER_ID_MISMATCH"))],
    "INVALID_ARGUMENT (APNs 410)": [
        body(
            "INVALID_ARGUMENT",
            "APNs device token is disabled.",
            fcm("INVALID_ARGUMENT"),
            {"@type": APNS, "statusCode": 410, "reason": "Unregistered"},
        )
    ],
}
ALIVE = [
    body(
        "INVALID_ARGUMENT", "Invalid value at 'message.data[0].value' (TYPE_STRING), 12", bad("message.data[0].value")
    ),
    body("INVALID_ARGUMENT", "Message too big", fcm("INVALID_ARGUMENT")),
    body("INVALID_ARGUMENT", INVALID, bad("message.token_not")),
    body("INVALID_ARGUMENT", "The registration token's package name is another.", fcm("INVALID_ARGUMENT")),
    # A project that is gone, or a wrong URL: to forget every token would be a disaster.
    body("NOT_FOUND", "Requested entity was not found."),
    body("PERMISSION_DENIED", "Permission denied on resource project shop-1."),
    body("UNAUTHENTICATED", "", fcm("THIRD_PARTY_AUTH_ERROR")),
    body("UNAUTHENTICATED", "", fcm("THIRD_PARTY_AUTH_ERROR"), {"@type": APNS, "statusCode": 403}),
    body("RESOURCE_EXHAUSTED", "", fcm("QUOTA_EXCEEDED")),
    body("UNAVAILABLE", "", fcm("UNAVAILABLE")),
    body("INTERNAL", "", fcm("INTERNAL")),
    body("", "", fcm("UNSPECIFIED_ERROR")),
    b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title> UNREGISTERED",
    b"",
    b"\xff",
    b"[]",
    b"[1]",
    b'{"error": "UNREGISTERED"}',
    b'{"error": {"status": 7, "message": ["UNREGISTERED"], "details": {"errorCode": "UNREGISTERED"}}}',
    b'{"error": {"details": [7, null, {"@type": 7, "errorCode": "UNREGISTERED"}]}}',
    json.dumps({"error": {"details": [{"@type": BAD_REQUEST, "fieldViolations": 7}]}}).encode(),
    json.dumps(
        {"error": {"details": [{"@type": BAD_REQUEST, "fieldViolations": [{"field": ["message.token"]}]}]}}
    ).encode(),
]


@pytest.mark.parametrize(("form", "told"), [(form, told) for form, bodies in DEAD.items() for told in bodies])
def test_every_documented_form_of_a_dead_token_is_known(form: str, told: bytes) -> None:
    assert read_error(told).dead_form == form


@pytest.mark.parametrize("told", ALIVE)
def test_nothing_else_calls_a_token_dead(told: bytes) -> None:
    assert read_error(told).dead_form is None


def test_the_reason_names_the_code_the_message_and_the_fields() -> None:
    error = read_error(body("INVALID_ARGUMENT", INVALID, bad("message.android.ttl", "message.data")))
    assert error.reason == f"INVALID_ARGUMENT: {INVALID} (message.android.ttl: Invalid; message.data: Invalid)"
    assert read_error(b"nonsense").reason == ""
