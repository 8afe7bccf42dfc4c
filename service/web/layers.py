"""The layers around the routes, named by what they add. Direct calls skip the inner three, which only change reads."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware

from service.hooks import Hooks
from service.settings import Settings
from service.web import problems
from service.web.compression import Compression
from service.web.direct import Direct, Endpoint
from service.web.door import AtTheDoor, Door
from service.web.etags import ETags
from service.web.methods import HeadAsGet
from service.web.noted import Noted
from service.web.paths import Mounted

# Methods, and headers beyond those that browsers let pass by themselves.
_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": [
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "If-Match",
        "If-Modified-Since",
        "If-None-Match",
        "If-Range",
        "Last-Event-ID",
        "Range",
        "X-File-Name",
    ],
    "expose_headers": [
        "Content-Disposition",
        "Content-Range",
        "ETag",
        "Idempotent-Replayed",
        "Location",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
    ],
    "max_age": 600,
}


def install(app: FastAPI, settings: Settings, hooks: Hooks, direct: Mapping[tuple[str, str], Endpoint]) -> None:
    """Add the layers from the inside out. A layer added to the app later goes around all of them."""
    app.add_middleware(ETags)
    app.add_middleware(Compression)
    app.add_middleware(HeadAsGet)
    if settings.rate_limit is None:  # the only header noted by direct calls
        app.add_middleware(Noted)
    app.add_middleware(Direct, endpoints=direct)
    if settings.rate_limit is not None:
        app.add_middleware(Noted)
    if settings.cors_origins:
        # Starlette's own is outside all layers, and logs: no page of another origin could read its answer.
        app.add_middleware(ServerErrorMiddleware, handler=problems.answer_logged_bug)
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **_CORS)
    app.add_middleware(AtTheDoor, door=Door.of(settings))
    if settings.root_path:
        app.add_middleware(Mounted, prefix=settings.root_path)
    app.add_middleware(hooks.around_requests)
