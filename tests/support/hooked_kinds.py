"""A kind that returns what the hooks around it have set. In an isolated child, its module brings a hook along."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from pydantic import BaseModel

from jobs import Context, job
from service.hooks import Hooks
from service.ledger.models import Started

traced_by: ContextVar[int | None] = ContextVar("traced_by", default=None)


class Nothing(BaseModel):
    """No args."""


@job("hooks_traced", timeout=60)
async def traced(_ctx: Context, _args: Nothing) -> int | None:
    """Return the process whose hook wraps this attempt."""
    return traced_by.get()


@asynccontextmanager
async def trace(_started: Started, _context: Context) -> AsyncIterator[None]:
    token = traced_by.set(os.getpid())
    yield
    traced_by.reset(token)


def _hook_in() -> None:
    """Add the hook to all other hooks: the child builds its own, as the worker does."""
    build = Hooks.__init__

    def build_with_trace(hooks: Hooks, requests: Any = (), enqueues: Any = (), attempts: Any = ()) -> None:
        build(hooks, requests, enqueues, (*attempts, trace))

    Hooks.__init__ = build_with_trace  # type: ignore[method-assign,assignment]


if (main := getattr(sys.modules["__main__"], "__spec__", None)) and main.name.endswith(".isolated_child"):
    _hook_in()
