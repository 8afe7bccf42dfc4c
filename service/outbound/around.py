"""What may stand around each request of the HTTP client: a hook around attempts sets it, to know of their calls."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar

import httpx

# Entered before a request is sent; what it yields is told the answer.
AroundCall = Callable[[httpx.Request], AbstractAsyncContextManager[Callable[[httpx.Response], None]]]
around_call: ContextVar[AroundCall | None] = ContextVar("around_call", default=None)
