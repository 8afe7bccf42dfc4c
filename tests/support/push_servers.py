"""Google and a browser's push service on loopback sockets: they check requests as the real ones do."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import http_ece  # type: ignore[import-untyped]
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tests.support.receiver import Received, read_request

Answer = tuple[int, Any, dict[str, str]]
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
A_DAY_S = 86_400
UNAUTHENTICATED = {
    "error": {"code": 401, "message": "Request had invalid authentication.", "status": "UNAUTHENTICATED"}
}


@cache
def _rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048)


@dataclass
class Server:
    """Answers each request by `answer_to`, which a subclass has."""

    port: int = 0
    requests: list[Received] = field(default_factory=list)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer_to(self, request: Received) -> Answer | bytes:
        raise NotImplementedError

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                request = await read_request(reader)
                self.requests.append(request)
                answer = self.answer_to(request)
                writer.write(answer if isinstance(answer, bytes) else written(*answer))
                if isinstance(answer, bytes):
                    return
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


def written(status: int, body: Any, headers: dict[str, str]) -> bytes:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(content)}", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class Google(Server):
    """FCM and OAuth.

    Messages get `answers` in turn, requests for tokens get `grants`; after these, everything succeeds.
    """

    answers: list[Answer | bytes] = field(default_factory=list)
    grants: list[Answer | bytes] = field(default_factory=list)
    lives_s: float = 3600
    valid: set[str] = field(default_factory=set)
    messages: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0

    @property
    def credentials(self) -> dict[str, Any]:
        return {
            "type": "service_account",
            "project_id": "shop-1",
            "private_key_id": "key-1",
            "private_key": _rsa_key().as_pem(private=True).decode(),
            "client_email": "push@shop-1.iam.gserviceaccount.com",
            "token_uri": f"{self.origin}/token",
        }

    def answer_to(self, request: Received) -> Answer | bytes:
        if request.request_line == "POST /token HTTP/1.1":
            return self._token(request)
        assert request.request_line == "POST /v1/projects/shop-1/messages:send HTTP/1.1", request.request_line
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.valid:
            return 401, UNAUTHENTICATED, {}
        self.messages.append(json.loads(request.body))
        if self.answers:
            return self.answers.pop(0)
        return 200, {"name": f"projects/shop-1/messages/{len(self.messages)}"}, {}

    def _token(self, request: Received) -> Answer | bytes:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        signed = jwt.decode(form["assertion"], _rsa_key(), algorithms=["RS256"])
        assert signed.header["kid"] == "key-1"
        claims = signed.claims
        assert (claims["iss"], claims["scope"]) == ("push@shop-1.iam.gserviceaccount.com", SCOPE)
        assert claims["aud"] == f"{self.origin}/token"
        assert claims["exp"] - claims["iat"] == 3600
        assert abs(claims["iat"] - time.time()) < 60
        self.tokens += 1
        if self.grants:
            return self.grants.pop(0)
        self.valid.add(token := f"ya29.{self.tokens}-secret-access-token")
        return 200, {"access_token": token, "expires_in": self.lives_s, "token_type": "Bearer"}, {}


@dataclass
class PushService(Server):
    """A browser's push service, and the browser: `pushes` are decrypted."""

    answers: list[Answer | bytes] = field(default_factory=list)
    pushes: list[bytes] = field(default_factory=list)
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = b"0123456789abcdef"
    application_key: str | None = None

    @property
    def subscription(self) -> dict[str, Any]:
        point = self.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        keys = {"p256dh": base64_url(point), "auth": base64_url(self.auth)}
        return {"endpoint": f"{self.origin}/push/very-secret-subscription", "expirationTime": None, "keys": keys}

    def answer_to(self, request: Received) -> Answer | bytes:
        assert request.request_line == "POST /push/very-secret-subscription HTTP/1.1", request.request_line
        self._check_vapid(request.headers["authorization"])
        assert 0 <= int(request.headers["ttl"]) <= 28 * A_DAY_S
        if request.body:
            assert request.headers["content-encoding"] == "aes128gcm"
            assert len(request.body) <= 4096
            self.pushes.append(http_ece.decrypt(request.body, private_key=self.key, auth_secret=self.auth))
        return self.answers.pop(0) if self.answers else (201, "", {"location": f"{self.origin}/message/1"})

    def _check_vapid(self, authorization: str) -> None:
        scheme, _, rest = authorization.partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        assert scheme == "vapid"
        assert self.application_key in (None, parts["k"])
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64_url(parts["k"]))
        pem = point.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        claims = jwt.decode(parts["t"], ECKey.import_key(pem), algorithms=["ES256"]).claims
        assert claims["aud"] == self.origin
        assert claims["sub"] == "mailto:ops@example.com"
        assert time.time() < claims["exp"] <= time.time() + A_DAY_S


def base64_url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def from_base64_url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[None]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        listening.close()
        for writer in list(server.writers):
            writer.close()
        await listening.wait_closed()
