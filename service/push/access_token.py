"""An OAuth access token: fetched once for all callers, and kept until shortly before its end."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextvars import Context
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn

import httpx
from pydantic_core import from_json

from jobs.kit.masking import Masks
from jobs.kit.outcomes import Discard, Retry
from jobs.push.failures import NoAccessToken
from jobs.push.holding import hold_of, is_overload
from jobs.webhook.answer import LONGEST_HOLD, line_of, read_body, status_line
from jobs.webhook.asking import answer_to

TokenGrant = Mapping[str, str]
FETCH_TIMEOUT_S = 20.0
_TIMEOUT = httpx.Timeout(FETCH_TIMEOUT_S, connect=10).as_dict()
# A token is not used until the very end: clocks differ, and a message takes its time.
_LONGEST_MARGIN_S = 300.0
_MARGIN = 0.2
_HOLD = timedelta(seconds=10)
# RFC 6749, 5.1 allows servers to leave the lifetime out; Google's is an hour.
_LIVES_S = 3600.0
_LONGEST_LIFE_S = 86_400


class AccessToken(NamedTuple):
    value: str
    fresh_until: float  # by the monotonic clock


class AccessTokens:
    """The token of one account. `grant` makes the form that asks for one."""

    def __init__(self, url: httpx.URL, grant: Callable[[], TokenGrant]) -> None:
        self._url = url
        self._grant = grant
        self._kept: AccessToken | None = None
        self._fetching: asyncio.Task[AccessToken] | None = None

    async def get(self, http: httpx.AsyncClient) -> str:
        """Return a fresh token. Raises `NoAccessToken`, for all callers that wait for the same fetch."""
        if self._kept is not None and time.monotonic() < self._kept.fresh_until:
            return self._kept.value
        if self._fetching is None:
            # In a context of its own: the fetch is not a request of the attempt that happens to ask first.
            self._fetching = asyncio.create_task(self._fetch(http), name="access-token", context=Context())
            self._fetching.add_done_callback(self._keep)
        return (await asyncio.shield(self._fetching)).value

    def forget(self, value: str) -> None:
        """Fetch another token for the next caller, unless that has already happened."""
        if self._kept is not None and self._kept.value == value:
            self._kept = None

    def _keep(self, fetched: asyncio.Task[AccessToken]) -> None:
        self._fetching = None
        if not fetched.cancelled() and fetched.exception() is None:
            self._kept = fetched.result()

    async def _fetch(self, http: httpx.AsyncClient) -> AccessToken:
        grant = self._grant()
        masks = Masks([grant["assertion"]])
        began = time.monotonic()
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                request = httpx.Request("POST", self._url, data=grant, extensions={"timeout": _TIMEOUT, "mask": masks})
                response = await answer_to(request, http, masks)
                body, is_whole = await read_body(response, FETCH_TIMEOUT_S)
        except (Retry, Discard) as error:
            raise NoAccessToken(f"no access token: {error}", hold_lane=_HOLD) from None
        except TimeoutError:
            told = f"no access token from {self._url.host} within {FETCH_TIMEOUT_S:.0f} s"
            raise NoAccessToken(told, hold_lane=_HOLD) from None
        if not response.is_success:
            _refuse(response, body, masks)
        return _read(body, response, masks, is_whole=is_whole, began=began)


def _refuse(response: httpx.Response, body: bytes, masks: Masks) -> NoReturn:
    told = line_of(body, masks)
    reason = f"no access token: {status_line(response, masks)}" + (f": {told}" if told else "")
    hold = min(hold_of(response), LONGEST_HOLD) if is_overload(response.status_code) else _HOLD
    raise NoAccessToken(reason, hold_lane=hold)


def _read(body: bytes, response: httpx.Response, masks: Masks, *, is_whole: bool, began: float) -> AccessToken:
    try:
        said: Any = from_json(body) if is_whole else None
    except ValueError:
        said = None
    match said:
        case {"access_token": str(value)} if value and value.isascii() and value.isprintable():
            lives_s = said.get("expires_in")
            lives_s = (
                float(min(lives_s, _LONGEST_LIFE_S)) if type(lives_s) in (int, float) and lives_s > 0 else _LIVES_S
            )
            return AccessToken(value, began + lives_s - min(_LONGEST_MARGIN_S, lives_s * _MARGIN))
    told = f"no access token: {status_line(response, masks)}, but not with a token"
    raise NoAccessToken(told, hold_lane=_HOLD)
