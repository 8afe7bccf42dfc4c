"""Kinds, and everything needed to write one: `from jobs import Context, Discard, Retry, Snooze, job`."""

from jobs.kit.catalogue import Catalogue, load
from jobs.kit.context import Context
from jobs.kit.declaration import CatalogueError, job
from jobs.kit.kind import Kind
from jobs.kit.lane import Lane, Rate
from jobs.kit.outcomes import Discard, Retry, Snooze
from jobs.kit.retry import RetryPolicy
from jobs.kit.thread_context import ThreadContext

__all__ = [
    "Catalogue",
    "CatalogueError",
    "Context",
    "Discard",
    "Kind",
    "Lane",
    "Rate",
    "Retry",
    "RetryPolicy",
    "Snooze",
    "ThreadContext",
    "job",
    "load",
]
