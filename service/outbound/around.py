"""What may stand around what attempts send to others: a hook around attempts sets it, to know of their calls."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar

import httpx

# Entered before a request is sent; what it yields is told the answer.
AroundCall = Callable[[httpx.Request], AbstractAsyncContextManager[Callable[[httpx.Response], None]]]
around_call: ContextVar[AroundCall | None] = ContextVar("around_call", default=None)
# Entered before a mail's connection is made: the server's name and port, and how many recipients.
AroundMail = Callable[[str, int | None, int], AbstractAsyncContextManager[None]]
around_mail: ContextVar[AroundMail] = ContextVar("around_mail", default=lambda *_mail: nullcontext())
