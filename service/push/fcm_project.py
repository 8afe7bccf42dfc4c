"""A Firebase project: where its messages are sent, and the access token that lets us."""

import time

import httpx

from service.errors import StartRefused
from service.push.access_token import AccessTokens, TokenGrant
from service.push.service_account import ServiceAccount

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# The longest that Google allows.
_LIVES_S = 3600


class FcmProject:
    """See `jobs.push.accounts.Fcm`. Raises `StartRefused` if the account's key cannot sign."""

    def __init__(self, account: ServiceAccount, *, base_url: str, token_url: str | None = None) -> None:
        self.messages_url = httpx.URL(f"{base_url.rstrip('/')}/v1/projects/{account.project_id}/messages:send")
        self._account = account
        self._token_url = token_url or str(account.token_uri)
        self._tokens = AccessTokens(httpx.URL(self._token_url), self._grant)
        self._check_key()

    async def access_token(self, http: httpx.AsyncClient) -> str:
        return await self._tokens.get(http)

    def forget(self, access_token: str) -> None:
        self._tokens.forget(access_token)

    def _check_key(self) -> None:
        from joserfc.errors import JoseError

        try:
            self._grant()
        except (JoseError, TypeError, ValueError) as error:  # a TypeError: it is encrypted
            raise StartRefused(f"POSTLUDE_FCM_CREDENTIALS: its private_key cannot sign: {error}") from None

    def _grant(self) -> TokenGrant:
        """Sign the assertion that asks for a token (RFC 7523, 2.1)."""
        from joserfc import jwt
        from joserfc.jwk import RSAKey

        now = int(time.time())
        claims: dict[str, str | int] = {"iss": self._account.client_email, "scope": SCOPE, "aud": self._token_url}
        claims |= {"iat": now, "exp": now + _LIVES_S}
        header = {"alg": "RS256", "typ": "JWT"}
        if self._account.private_key_id is not None:
            header["kid"] = self._account.private_key_id
        key = RSAKey.import_key(self._account.private_key.get_secret_value())
        return {"grant_type": _GRANT_TYPE, "assertion": jwt.encode(header, claims, key)}
