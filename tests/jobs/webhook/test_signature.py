import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from jobs.webhook.signature import sign

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("secret", "message_id", "timestamp", "body", "expected"),
    [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1649367553,
            b'{"email":"test@example.com","username":"test_user"}',
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ],
)
def test_signature_agrees_with_published_vectors(
    secret: str, message_id: str, timestamp: int, body: bytes, expected: str
) -> None:
    assert sign(secret, message_id, timestamp, body) == expected


@given(st.binary(min_size=24, max_size=64), st.text(st.characters(codec="utf-8")))
def test_signature_agrees_with_the_standardwebhooks_package(key: bytes, body: str) -> None:
    secret = "whsec_" + base64.b64encode(key).decode().rstrip("=")
    theirs = Webhook(secret).sign("job_1", NOW, body)
    assert sign(secret, "job_1", int(NOW.timestamp()), body.encode()) == theirs
