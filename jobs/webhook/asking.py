"""Sends a request, whose answer comes as a stream. The reason for a missing answer is given without secrets."""

from collections.abc import Mapping

import httpx

from jobs.kit.http_errors import AddressRefused
from jobs.kit.masking import Masks
from jobs.webhook import failures
from jobs.webhook.answer import line_of

# The kind's timeout bounds the whole attempt; this one keeps a dead address from using all of it.
TIMEOUT = httpx.Timeout(None, connect=10).as_dict()


_WITH_BODY = ("POST", "PUT", "PATCH")


def request_to(
    url: httpx.URL,
    headers: Mapping[str, str],
    body: bytes,
    *,
    user_agent: str,
    method: str = "POST",
    mask: Masks | None = None,
) -> httpx.Request:
    """Build a request; `mask` removes secrets that are not the args' own from its record."""
    given = {name.lower() for name in headers}
    own = {"accept": "*/*", "user-agent": user_agent}
    sent = {**headers, **{name: value for name, value in own.items() if name not in given}}
    # The answer is read undecoded: half a megabyte of gzip can be half a gigabyte of text.
    sent |= {"accept-encoding": "identity", "host": url.netloc.decode()}
    if body or method in _WITH_BODY:
        sent["content-length"] = str(len(body))
    as_bytes = [(name.encode(), value.encode()) for name, value in sent.items()]
    extensions = {"timeout": TIMEOUT} if mask is None else {"timeout": TIMEOUT, "mask": mask}
    # Built whole: the client's `build_request`, which merges its defaults, takes longer than the post.
    return httpx.Request(method, url, headers=as_bytes, stream=httpx.ByteStream(body), extensions=extensions)


async def answer_to(request: httpx.Request, http: httpx.AsyncClient, masks: Masks) -> httpx.Response:
    """Send a request, which has the extension `timeout`. Raises the errors of `failures` if there is no answer."""
    try:
        return await http.send(request, stream=True, auth=None, follow_redirects=False)
    except AddressRefused as error:
        raise failures.AddressRefused(str(error)) from None
    except httpx.TransportError as error:
        # The error may quote a secret, so it is not shown as the cause.
        what = f"{type(error).__name__}: {line_of(str(error).encode(errors='replace'), masks)}"
        raise failures.class_of(error)(f"no answer from {request.url.host}: {what}") from None
