"""The answer: read, without secrets, and compared with what was expected. Pure except for the reading."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import httpx
from pydantic import JsonValue
from pydantic_core import from_json

from jobs.http.args import CallHttpArgs
from jobs.http.failures import AnswerUnexpected, StatusRefused
from jobs.kit.masking import Masks
from jobs.webhook.answer import EXCERPT_BYTES, RESPONSE_CAP_BYTES, read_body, readable, reason_of, to_be_tried_again

# A moment later the answer may be another; for all other statuses it will be the same.
_PASSING = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_EARLY, httpx.codes.TOO_MANY_REQUESTS)
_JSON = re.compile(r"application/([^;]*\+)?json\s*(;|$)", re.I)
_BOM = "\ufeff"  # some servers begin JSON with it, and readers may ignore it (RFC 8259, 8.1)
_NOTHING = object()


class Answer(NamedTuple):
    """`body` is JSON if the answer says so and is whole, otherwise text."""

    body: JsonValue
    text: str
    is_cut: bool


async def read_answer(response: httpx.Response, masks: Masks, *, left_s: float) -> Answer:
    """Read the body's beginning, with `left_s` until the attempt's timeout."""
    body, is_whole = await read_body(response, max(0.0, left_s / 2))
    is_cut = not is_whole or len(body) > RESPONSE_CAP_BYTES
    text = masks(readable(body[:RESPONSE_CAP_BYTES]), is_cut=is_cut)
    if is_cut or not _JSON.match(response.headers.get("content-type", "")):
        return Answer(text, text, is_cut)
    try:
        return Answer(from_json(text.removeprefix(_BOM), allow_inf_nan=False), text, is_cut)
    except ValueError:
        return Answer(text, text, is_cut)


def judge(args: CallHttpArgs, response: httpx.Response, answer: Answer, masks: Masks) -> None:
    """Return if the answer is as expected. Raises the errors of `failures`."""
    reason = reason_of(response, masks)
    excerpt = answer.text.encode()[:EXCERPT_BYTES].decode(errors="ignore")
    told = f": {excerpt}" if excerpt else ""
    if not args.expects(response.status_code):
        if response.is_server_error or response.status_code in _PASSING:
            raise to_be_tried_again(response, reason, told)
        raise StatusRefused(reason + told)
    if (wrong := _unexpected(args.expect_json, answer)) is not None:
        raise AnswerUnexpected(f"{reason}, but {wrong}{told}")


def _unexpected(expected: Mapping[str, JsonValue], answer: Answer) -> str | None:
    """Say which part of the answer is not as expected."""
    if not expected:
        return None
    if answer.is_cut or isinstance(answer.body, str):
        return "with more than can be read" if answer.is_cut else "not with JSON"
    for path, wanted in expected.items():
        found = _at(answer.body, path)
        if found is _NOTHING:
            return f"without {path}"
        if not _is_same(found, wanted):
            return f"{path} is {found!r:.100}, not {wanted!r:.100}"
    return None


def _at(body: JsonValue, path: str) -> object:
    """Return the value at a path: object keys and list indexes, with dots between them."""
    found: JsonValue = body
    for step in path.split("."):
        match found:
            case dict() if step in found:
                found = found[step]
            case list() if step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            case _:
                return _NOTHING
    return found


def _is_same(found: object, wanted: JsonValue) -> bool:
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)  # true is not 1
