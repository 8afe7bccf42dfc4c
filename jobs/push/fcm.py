"""Sends a message to Firebase, and judges what became of it."""

import time
from typing import NamedTuple

import httpx
from pydantic_core import from_json

from jobs.kit.context import Context
from jobs.kit.masking import Masks
from jobs.push import failures
from jobs.push.accounts import Fcm
from jobs.push.args import SendPushArgs
from jobs.push.fcm_error import FcmError, read_error
from jobs.push.holding import held, is_overload, refused
from jobs.webhook.answer import line_of, read_body, status_line
from jobs.webhook.asking import answer_to, request_to
from jobs.webhook.failures import AddressRefused

_THIRD_PARTY = "THIRD_PARTY_AUTH_ERROR"
# About the project or our rights in it, unless the error's code is about the message.
_SENDER = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND)


class Answer(NamedTuple):
    """What Firebase answered, and the masks that hide the access token in it."""

    response: httpx.Response
    body: bytes
    is_whole: bool
    error: FcmError
    masks: Masks

    @property
    def refuses_access_token(self) -> bool:
        status = self.response.status_code
        return status == httpx.codes.UNAUTHORIZED and self.error.code != _THIRD_PARTY

    @property
    def reason(self) -> str:
        """Return the answer in one line."""
        told = line_of(self.error.reason.encode(errors="replace"), self.masks)
        return status_line(self.response, self.masks) + (f": {told}" if told else "")


async def ask(ctx: Context, fcm: Fcm, args: SendPushArgs) -> Answer:
    """Send a message; retry once with a new access token if the kept one is refused."""
    ends_at = time.monotonic() + ctx.timeout.total_seconds()
    access_token = await fcm.access_token(ctx.http)
    answer = await _post(ctx, fcm, args, access_token, ends_at)
    if answer.refuses_access_token:
        fcm.forget(access_token)
        answer = await _post(ctx, fcm, args, await fcm.access_token(ctx.http), ends_at)
    return answer


async def _post(ctx: Context, fcm: Fcm, args: SendPushArgs, access_token: str, ends_at: float) -> Answer:
    masks = Masks([access_token])
    request = _request(ctx, fcm.messages_url, args.body(), access_token, masks)
    try:
        response = await answer_to(request, ctx.http, masks)
    except AddressRefused as error:
        raise failures.NotReachable(f"POSTLUDE_FCM_URL: {error}") from None
    # Half of the time left, so that the attempt's timeout cannot undo what the status decided.
    body, is_whole = await read_body(response, max(0.0, (ends_at - time.monotonic()) / 2))
    return Answer(response, body, is_whole, read_error(body), masks)


def _request(ctx: Context, url: httpx.URL, body: bytes, access_token: str, masks: Masks) -> httpx.Request:
    headers = {
        "authorization": f"Bearer {access_token}",
        "content-type": "application/json; charset=utf-8",
        "accept": "application/json",
    }
    return request_to(url, headers, body, user_agent=ctx.http.headers["user-agent"], mask=masks)


def name_of(answer: Answer) -> str | None:
    """Return the name that Firebase gave the message; None if it was cut off. Raises `NotFcm`."""
    try:
        said = from_json(answer.body)
    except ValueError:
        said = None
    match said:
        case {"name": str(name)}:
            return name
    if not answer.is_whole:  # Firebase has the message anyway
        return None
    raise failures.NotFcm(
        f"{status_line(answer.response, answer.masks)}, but not with a message's name, as Firebase does"
    )


def error_of(answer: Answer) -> Exception:
    """Return the error of an answer that is not a success."""
    status, code, reason = answer.response.status_code, answer.error.code, answer.reason
    if is_overload(status):
        return held(answer.response, reason)
    if code == _THIRD_PARTY:
        return failures.PlatformRefused(f"{reason}; see the keys for Apple and for the web in the Firebase console")
    if status in _SENDER:
        return failures.SenderRefused(f"{reason}; see POSTLUDE_FCM_CREDENTIALS, and its roles in the project")
    return refused(status, reason)
