"""Signing in through another service: OpenID Connect, the code flow with PKCE.

Source: https://openid.net/specs/openid-connect-core-1_0.html, RFC 7636, RFC 9207.
"""

import secrets
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
import structlog

from service.access.principal import Role
from service.errors import SignInRefused
from service.settings import Settings

log = structlog.get_logger(__name__)

_WITHIN_S = 10.0
_LEEWAY_S = 60
_KNOWN_FOR_S = 60.0
_LARGEST_BYTES = 1024 * 1024
# Never `none`, nor an algorithm whose key is the client's secret.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_AWAY = "The sign-in service does not answer as it should. Sign in with a key, or try again."


class OnTheWay(NamedTuple):
    """What the browser keeps, sealed, until it returns from the other service."""

    state: str
    nonce: str
    verifier: str
    next: str


class Vouched(NamedTuple):
    """Who the other service says has signed in."""

    name: str
    role: Role


class Oidc:
    def __init__(self, settings: Settings) -> None:
        assert settings.oidc_issuer is not None
        assert settings.oidc_client_id is not None
        assert settings.oidc_client_secret is not None
        self._issuer = settings.oidc_issuer.rstrip("/")
        self._client = (settings.oidc_client_id, settings.oidc_client_secret.get_secret_value())
        self._known: tuple[float, dict[str, Any]] | None = None
        self._name_claim, self._role_claim = settings.oidc_name_claim, settings.oidc_role_claim

    async def begin(self, redirect_uri: str, next_path: str) -> tuple[str, OnTheWay]:
        """Return where to send the browser, and what it must bring back. Raises `SignInRefused`."""
        from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]

        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        way = OnTheWay(state, nonce, verifier, next_path)
        endpoint = (await self._metadata())["authorization_endpoint"]
        query = {
            "response_type": "code",
            "client_id": self._client[0],
            "redirect_uri": redirect_uri,
            "scope": "openid email profile",
            "state": way.state,
            "nonce": way.nonce,
            "code_challenge": create_s256_code_challenge(way.verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}", way

    async def finish(self, redirect_uri: str, told: Mapping[str, str], way: OnTheWay) -> Vouched:
        """Return who has signed in. Raises `SignInRefused`."""
        if not secrets.compare_digest(told.get("state", "").encode(), way.state.encode()):
            raise SignInRefused("This is not the sign-in that you started. Sign in again.")
        if "error" in told or "code" not in told:
            raise SignInRefused("The other service did not sign you in.")
        metadata = await self._metadata()
        if told.get("iss", metadata["issuer"]) != metadata["issuer"]:
            raise SignInRefused("A different service answered from the one that was asked.")
        async with _http() as http:
            form = {
                "grant_type": "authorization_code",
                "code": told["code"],
                "redirect_uri": redirect_uri,
                "code_verifier": way.verifier,
            }
            token = await _json(http, "POST", metadata["token_endpoint"], data=form, auth=self._client)
            keys = await _json(http, "GET", metadata["jwks_uri"])
        return self._vouched(_claims(token, keys, metadata["issuer"], self._client[0], way.nonce))

    async def _metadata(self) -> dict[str, Any]:
        """Return the service's configuration. It may be a minute old, because anybody can trigger this request."""
        if self._known is None or time.monotonic() - self._known[0] > _KNOWN_FOR_S:
            async with _http() as http:
                self._known = time.monotonic(), await self._read_metadata(http)
        return self._known[1]

    async def _read_metadata(self, http: httpx.AsyncClient) -> dict[str, Any]:
        metadata = await _json(http, "GET", f"{self._issuer}/.well-known/openid-configuration")
        needed = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
        if not all(isinstance(metadata.get(name), str) for name in needed):
            raise _away("its configuration is incomplete")
        if metadata["issuer"].rstrip("/") != self._issuer:
            raise _away("its configuration names another issuer")
        return metadata

    def _vouched(self, claims: Mapping[str, Any]) -> Vouched:
        name, roles = claims.get(self._name_claim), claims.get(self._role_claim)
        if not isinstance(name, str):
            raise SignInRefused(
                f"The other service does not say who you are: the claim {self._name_claim!r} is missing."
            )
        if self._name_claim == "email" and claims.get("email_verified") is False:
            raise SignInRefused("The other service has not verified your email address.")
        given = set(map(str, roles)) if isinstance(roles, list) else {str(roles)}
        best = next((role for role in (Role.ADMIN, Role.OPERATOR, Role.VIEWER) if role.value in given), None)
        if best is None:
            raise SignInRefused(f"{name} has no role here. Ask an administrator for one: viewer, operator or admin.")
        return Vouched(name, best)


def _claims(token: Mapping[str, Any], keys: Any, issuer: str, client_id: str, nonce: str) -> Mapping[str, Any]:
    """Return the token's claims, if the service signed it for us and for this sign-in."""
    from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet
    from joserfc.jws import JWSRegistry

    try:
        registry = JWSRegistry(algorithms=list(_ALGORITHMS), strict_check_header=False)
        signed = jwt.decode(str(token.get("id_token")), KeySet.import_key_set(keys), registry=registry)
        claims = CodeIDToken(
            signed.claims,
            signed.header,
            {
                "iss": {"essential": True, "value": issuer},
                "aud": {"essential": True, "value": client_id},
                "nonce": {"essential": True, "value": nonce},
            },
            {"nonce": nonce, "client_id": client_id, "access_token": token.get("access_token")},
        )
        claims.validate(leeway=_LEEWAY_S)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        log.warning("oidc_token_refused", reason=f"{type(error).__name__}: {error}")
        raise SignInRefused("The other service's answer cannot be trusted.") from error
    return dict(claims)


def _http() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=_WITHIN_S, follow_redirects=False)


async def _json(http: httpx.AsyncClient, method: str, url: str, **sent: Any) -> dict[str, Any]:
    try:
        answer = await http.request(method, url, headers={"Accept": "application/json"}, **sent)
        answer.raise_for_status()
        if len(answer.content) > _LARGEST_BYTES:
            raise _away("its answer is too large")
        told = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise _away(f"{type(error).__name__}: {error}") from error
    if not isinstance(told, dict):
        raise _away("its answer is not an object")
    return told


def _away(reason: str) -> SignInRefused:
    log.warning("oidc_failed", reason=reason)
    return SignInRefused(_AWAY)
