"""gzip for clients that prefer it: Starlette's own, which leaves events and files alone."""

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware, IdentityResponder
from starlette.types import ASGIApp, Receive, Scope, Send

from service.web.paths import path_of

_SMALLEST_BYTES = 1_000
# Their ranges and tags refer to the plain bytes, and most are already compressed.
_FILES = ("/v1/files/", "/files/")
_LEVEL = 5  # takes half the time of level 9, for a few per cent more bytes


class Compression(GZipMiddleware):
    """Compresses answers, except for clients that rule out gzip or prefer the plain answer."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, minimum_size=_SMALLEST_BYTES, compresslevel=_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (
            path_of(scope).startswith(_FILES) or not prefers_gzip(Headers(scope=scope).getlist("accept-encoding"))
        ):
            await IdentityResponder(self.app, self.minimum_size)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def prefers_gzip(accept_encoding: list[str]) -> bool:
    """Whether gzip is acceptable, and `identity` not preferred (RFC 9110, 12.5.3)."""
    wanted = dict(map(_read, ",".join(accept_encoding).lower().split(",")))
    gzip = wanted.get("gzip", 0.0)
    return gzip > 0 and gzip >= wanted.get("identity", 0.0)


def _read(coding: str) -> tuple[str, float]:
    """Read one coding and its weight. Uses no regular expression, since anyone may send 64 KiB of codings."""
    name, _, rest = coding.partition(";")
    parameter, _, weight = rest.partition("=")
    try:
        return name.strip(), float(weight) if parameter.strip() == "q" else 1.0
    except ValueError:
        return name.strip(), 0.0
