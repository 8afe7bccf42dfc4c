"""The accounts of the settings: read when a worker starts, which says what is wrong with them."""

import json
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from pydantic import SecretStr

from service.errors import StartRefused
from service.push.capability import set_up
from service.settings import Settings
from tests.support.push_servers import Google, base64_url, from_base64_url

RSA = rsa.generate_private_key(65537, 2048)


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, encryption: KeySerializationEncryption) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def settings(**named: object) -> Settings:
    return Settings(vapid_subject="mailto:ops@example.com", fcm_url="https://fcm.example/proxy/").model_copy(
        update=named
    )


def test_credentials_are_json_or_a_file_of_it(tmp_path: Path) -> None:
    text = json.dumps(Google(port=7).credentials)
    (tmp_path / "key.json").write_text(text)
    for given in (text, str(tmp_path / "key.json")):
        fcm = set_up(settings(fcm_credentials=SecretStr(given))).fcm
        assert str(fcm.messages_url) == "https://fcm.example/proxy/v1/projects/shop-1/messages:send"


def test_credentials_that_cannot_be_used_are_named_without_being_told(tmp_path: Path) -> None:
    account = Google(port=7).credentials
    refusals = {
        str(tmp_path / "missing.json"): "missing.json cannot be read: No such file",
        "{": "not a service account",
        json.dumps(account | {"type": "authorized_user"}): "see type",
        json.dumps(account | {"project_id": "../other"}): "see project_id",
        json.dumps(account | {"private_key": "-----BEGIN secret"}): "private_key cannot sign",
        json.dumps(
            account | {"private_key": pem_of(ec.generate_private_key(ec.SECP256R1()), NoEncryption())}
        ): "private_key cannot sign",
        json.dumps(account | {"private_key": pem_of(RSA, BestAvailableEncryption(b"x"))}): "private_key cannot sign",
        base64_url(json.dumps(account).encode()): "what it names cannot be read",
        json.dumps({name: value for name, value in account.items() if name != "client_email"}): "see client_email",
    }
    for given, told in refusals.items():
        with pytest.raises(StartRefused, match=told) as refused:
            set_up(settings(fcm_credentials=SecretStr(given)))
        assert "BEGIN" not in str(refused.value)


def test_the_key_signs_for_the_origin_of_an_endpoint() -> None:
    vapid = set_up(settings(vapid_private_key=SecretStr(base64_url(b"\x07" * 32)))).vapid
    for endpoint, origin in {
        "https://push.example:443/x?y": "https://push.example",
        "https://push.example:8443/": "https://push.example:8443",
    }.items():
        told = vapid.authorization_for(httpx.URL(endpoint)).split(".")[1]
        assert json.loads(from_base64_url(told))["aud"] == origin


@pytest.mark.parametrize("given", ["", "short", base64_url(b"\xff" * 32), base64_url(bytes(32)), "ü" * 43])
def test_a_key_that_is_none_is_refused_without_being_told(given: str) -> None:
    with pytest.raises(StartRefused, match="postlude push vapid-key") as refused:
        set_up(settings(vapid_private_key=SecretStr(given)))
    assert not given or given not in str(refused.value)
