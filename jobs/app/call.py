"""A call, as it is posted to an app. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

import httpx
from pydantic import JsonValue

from jobs.app.apps import App
from jobs.webhook.signature import COMPACT, webhook_headers

# The attempt's own timeout bounds the whole call; these tell an app that is gone from one that works.
SILENCE_S = 30.0
_TIMEOUT = httpx.Timeout(SILENCE_S, connect=10, pool=None).as_dict()
_SHORTEST_S = 0.001


class Call(NamedTuple):
    """One attempt of a job, as posted to its app."""

    function: str
    arguments: Mapping[str, JsonValue] = {}
    offer: str | None = None
    job: str = ""
    attempt: int = 0
    timeout_s: float = 0

    def body(self) -> bytes:
        """Write it as JSON. Raises `UnicodeEncodeError` for a lone surrogate."""
        said = {"function": self.function, "arguments": self.arguments, "job": self.job, "attempt": self.attempt}
        said["timeout"] = round(max(_SHORTEST_S, self.timeout_s), 3)
        if self.offer is not None:
            said["offer"] = self.offer
        return COMPACT.encode(said).encode()


def request_of(call: Call, app: App, *, timestamp: int, user_agent: str) -> httpx.Request:
    """Sign a call by Standard Webhooks 1.0.0; each attempt is a separate message."""
    url, body = app.calls_url, call.body()
    headers = {
        **webhook_headers(f"{call.job}_{call.attempt}", timestamp, body, app.secret),
        "host": url.netloc.decode("ascii"),
        "accept": "application/x-ndjson",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": user_agent,
    }
    # Built whole, as `send_webhook` does: the client's `build_request` takes longer than the post.
    as_bytes = [(name.encode(), value.encode()) for name, value in headers.items()]
    # `mask`: the recorded exchange must not contain the secret, which is not one of the job's own.
    extensions = {"timeout": _TIMEOUT, "mask": app.masks}
    return httpx.Request("POST", url, headers=as_bytes, stream=httpx.ByteStream(body), extensions=extensions)
