from jobs.webhook.signature import webhook_headers
from service.apps.signed import TOLERANCE_S, is_signed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"


def test_a_signature_holds_for_its_secret_its_body_and_five_minutes() -> None:
    headers = webhook_headers("msg", 1_000, b"{}", SECRET)
    assert is_signed(SECRET, headers, b"{}", 1_000 + TOLERANCE_S)
    assert is_signed(SECRET, headers, b"{}", 1_000 - TOLERANCE_S)
    assert not is_signed(SECRET, headers, b"{}", 1_001 + TOLERANCE_S)
    assert not is_signed(SECRET, headers, b"{ }", 1_000)
    assert not is_signed(OTHER, headers, b"{}", 1_000)


def test_one_good_signature_of_several_is_enough_and_nonsense_is_none() -> None:
    headers = webhook_headers("msg", 1_000, b"{}", SECRET)
    several = headers | {"webhook-signature": f"v1,x v2,y {headers['webhook-signature']}"}
    assert is_signed(SECRET, several, b"{}", 1_000)
    for name in headers:
        for nonsense in ("", "\N{SNOWMAN}", "²", "9" * 40):
            assert not is_signed(SECRET, headers | {name: nonsense}, b"{}", 1_000)
