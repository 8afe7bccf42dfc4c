"""Wrappers around the calls and mails of attempts, set by a hook around attempts that wants to know of them."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar

import httpx

# Entered before a request is sent; it yields a function that gets the answer.
AroundCall = Callable[[httpx.Request], AbstractAsyncContextManager[Callable[[httpx.Response], None]]]
around_call: ContextVar[AroundCall | None] = ContextVar("around_call", default=None)
# Entered before a mail's connection is made, with the server's name and port and the number of recipients.
AroundMail = Callable[[str, int | None, int], AbstractAsyncContextManager[None]]
around_mail: ContextVar[AroundMail] = ContextVar("around_mail", default=lambda *_mail: nullcontext())
