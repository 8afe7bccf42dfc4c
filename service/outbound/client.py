"""The client of `Context.http`, with a short way for requests that need none of httpx's layers."""

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

import httpx

from service.outbound.around import around_call
from service.outbound.transport import GuardedTransport

if TYPE_CHECKING:
    from httpx._client import UseClientDefault
    from httpx._types import AuthTypes


class OutboundClient(httpx.AsyncClient):
    """An `httpx.AsyncClient` over a `GuardedTransport`; it takes nothing from the environment."""

    def __init__(self, transport: GuardedTransport, *, user_agent: str, timeout: httpx.Timeout):
        super().__init__(
            transport=transport,
            headers={"User-Agent": user_agent},
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            cookies=_no_cookies(),
        )
        self._guarded = transport

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: "AuthTypes | UseClientDefault | None" = httpx.USE_CLIENT_DEFAULT,
        follow_redirects: "bool | UseClientDefault" = httpx.USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """Send a request, as httpx does.

        With `stream`, and without auth and redirects, the request goes straight to the transport: httpx's layers for
        these, for cookies and for hooks cost more than the post. Such an answer has no `elapsed` and no `next_request`.
        """
        around = around_call.get()
        if around is None:
            return await self._send(request, stream, auth, follow_redirects)
        async with around(request) as answered:
            response = await self._send(request, stream, auth, follow_redirects)
            answered(response)
            return response

    async def _send(
        self,
        request: httpx.Request,
        stream: bool,
        auth: "AuthTypes | UseClientDefault | None",
        follow_redirects: "bool | UseClientDefault",
    ) -> httpx.Response:
        if stream and auth is None and follow_redirects is False and "timeout" in request.extensions:
            return await self._send_straight(request)
        return await super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)

    async def _send_straight(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._guarded.handle_async_request(request)
        except httpx.RequestError as error:
            error.request = request
            raise
        response.request = request
        return response


def _no_cookies() -> CookieJar:
    # The client is shared by all jobs: a cookie that one receiver sets must not travel with another job.
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))
