"""A small OpenID provider on a real socket: it signs in the user it is told to, and can be told to misbehave."""

import asyncio
import hashlib
import socket
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

from tests.support.serving import PromptServer

CLIENT = ("postlude", "the-client's-secret")


@dataclass
class Provider:
    """`claims` is what the next token says; `key` and `algorithm` are what it is signed with."""

    url: str
    claims: dict[str, Any] = field(default_factory=dict)
    own_key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "1"}))
    key: ECKey | OctKey | None = None
    algorithm: str = "ES256"
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    configured: int = 0

    def says(self, **claims: Any) -> None:
        self.claims = claims
        self.key, self.algorithm = None, "ES256"

    async def configuration(self, _request: Request) -> JSONResponse:
        self.configured += 1
        names = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        return JSONResponse({"issuer": self.url} | {name: self.url + path for name, path in names.items()})

    async def authorize(self, request: Request) -> RedirectResponse:
        asked = dict(request.query_params)
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.url, "session_state": "its own"}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}")

    async def token(self, request: Request) -> JSONResponse:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = self.codes.pop(form["code"], None)
        challenge = urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        basic = "Basic " + b64encode(":".join(CLIENT).encode()).decode()
        fits = (
            asked is not None and asked["code_challenge"] == challenge and asked["redirect_uri"] == form["redirect_uri"]
        )
        if not fits or request.headers.get("authorization") != basic:
            return JSONResponse({"error": "invalid_grant"}, 400)
        assert asked is not None
        now = int(time.time())
        told = {"iss": self.url, "sub": "s", "aud": CLIENT[0], "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        signed = jwt.encode(
            {"alg": self.algorithm, "kid": "1"},
            told | self.claims,
            self.key or self.own_key,
            algorithms=[self.algorithm],
        )
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": signed})

    async def keys(self, _request: Request) -> JSONResponse:
        return JSONResponse({"keys": [self.own_key.as_dict(private=False)]})


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    listening = socket.create_server(("127.0.0.1", 0))
    provider = Provider(f"http://127.0.0.1:{listening.getsockname()[1]}")
    routes = [
        Route("/.well-known/openid-configuration", provider.configuration),
        Route("/authorize", provider.authorize),
        Route("/token", provider.token, methods=["POST"]),
        Route("/keys", provider.keys),
    ]
    server = PromptServer(uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([listening]))
    try:
        yield provider
    finally:
        server.stop()
        await serving


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
