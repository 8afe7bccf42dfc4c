"""Kinds, and what is needed to write one: `from jobs import Context, Discard, Retry, Snooze, job`."""

from jobs.catalogue import Catalogue, job, load
from jobs.context import Context
from jobs.declaration import CatalogueError
from jobs.kind import Kind
from jobs.outcomes import Discard, Retry, Snooze
from jobs.retry import RetryPolicy

__all__ = [
    "Catalogue",
    "CatalogueError",
    "Context",
    "Discard",
    "Kind",
    "Retry",
    "RetryPolicy",
    "Snooze",
    "job",
    "load",
]
