import base64
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from postlude.calling.signature import NotTrusted, check, is_offered, offer_of, secret_key, secret_of, sign, signed
from postlude.errors import SettingsInvalid

KEY = bytes(range(32))
BODY = b'{"function":"app.mail.send"}'
NOW = int(time.time())


def headers(message_id: str = "job_1", at: int = NOW, body: bytes = BODY, key: bytes = KEY) -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(key, message_id, at, body),
    }


def test_signatures_are_those_of_standard_webhooks() -> None:
    signed = Webhook(secret_of(KEY)).sign("job_1", datetime.fromtimestamp(NOW, UTC), BODY.decode())
    assert signed == sign(KEY, "job_1", NOW, BODY)
    assert check([KEY], headers(), BODY, now=NOW) == "job_1"


def test_one_right_signature_of_several_is_enough() -> None:
    given = headers()
    given["webhook-signature"] = f"v1,AAAA v2,x {given['webhook-signature']}"
    assert check([KEY], given, BODY, now=NOW) == "job_1"


def test_secrets_from_before_still_hold() -> None:
    new = KEY[::-1]
    assert check([new, KEY], headers(), BODY, now=NOW) == "job_1"
    assert is_offered([new, KEY], "app.mail.send", offer_of(KEY, "app.mail.send"))
    for key in (new, KEY):
        assert check([key], signed([new, KEY], BODY), BODY, now=time.time())


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "job_2"},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "é"},
        {"webhook-signature": sign(KEY[::-1], "job_1", NOW, BODY)},
        {"webhook-signature": sign(KEY, "job_1", NOW, BODY + b" ")},
        {"webhook-signature": sign(KEY, "job_1", NOW, BODY).removeprefix("v1,")},
    ],
)
def test_wrong_signature_is_not_trusted(change: dict[str, str]) -> None:
    with pytest.raises(NotTrusted, match="The signature is wrong"):
        check([KEY], headers() | change, BODY, now=NOW)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_missing_header_is_told(name: str) -> None:
    with pytest.raises(NotTrusted, match="is not signed"):
        check([KEY], {**headers(), name: ""}, BODY, now=NOW)


@pytest.mark.parametrize("sent", ["now", "-1", "1e9", "\u0661", "9" * 20])
def test_odd_time_is_told(sent: str) -> None:
    with pytest.raises(NotTrusted, match="not a time in seconds"):
        check([KEY], headers() | {"webhook-timestamp": sent}, BODY, now=NOW)


@pytest.mark.parametrize(
    ("now", "told"), [(NOW + 301, "301 s before now"), (NOW - 301, "301 s after now")], ids=["old", "early"]
)
def test_old_and_early_calls_are_not_trusted(now: int, told: str) -> None:
    assert check([KEY], headers(), BODY, now=NOW + 299)
    with pytest.raises(NotTrusted, match=told):
        check([KEY], headers(), BODY, now=now)


def test_secret_is_read_padded_or_not() -> None:
    assert secret_key(secret_of(KEY)) == secret_key(secret_of(KEY).rstrip("=")) == KEY


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "secret", base64.b64encode(KEY).decode(), "whsec_c2hvcnQ=", "whsec_!" + "A" * 43]
)
def test_other_secrets_are_refused(secret: str) -> None:
    with pytest.raises(SettingsInvalid, match="POSTLUDE_APP_SECRET must be"):
        secret_key(secret)


def test_offer_holds_for_one_function_and_secret() -> None:
    offer = offer_of(KEY, "app.mail.send")
    assert is_offered([KEY], "app.mail.send", offer)
    assert not is_offered([KEY], "app.mail.wipe", offer)
    assert not is_offered([KEY[::-1]], "app.mail.send", offer)
    assert not is_offered([KEY], "app.mail.send", "é")
