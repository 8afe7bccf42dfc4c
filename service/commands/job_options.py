"""The options that select jobs."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_STATES = ("scheduled", "blocked", "queued", "running", "retrying", "succeeded", "failed", "cancelled")


def filters(*names: str) -> Callable[[F], F]:
    """Add options that select jobs; each is the API's parameter of the same name."""
    several = "May be given several times."
    options = {
        "state": click.option("--state", multiple=True, type=click.Choice(_STATES), help=several),
        "kind": click.option("--kind", multiple=True, help=several),
        "queue": click.option("--queue", multiple=True, help=several),
        "tag": click.option("--tag"),
        "lane": click.option("--lane", help="A lane of the job, from its request or its destination."),
        "flow": click.option("--flow", help="The id of a flow."),
        "error_type": click.option(
            "--error-type", multiple=True, help=f"Of the latest attempt, e.g. TimeoutError. {several}"
        ),
        "created_after": click.option("--created-after", metavar="TIME", help="RFC 3339, e.g. 2026-01-31T09:00:00Z."),
        "created_before": click.option("--created-before", metavar="TIME"),
        "finished_after": click.option("--finished-after", metavar="TIME"),
        "finished_before": click.option("--finished-before", metavar="TIME"),
        "order": click.option("--order", type=click.Choice(["desc", "asc"]), help="asc: oldest first."),
    }

    def add(function: F) -> F:
        for name in reversed(names):
            function = options[name](function)
        return function

    return add


NARROW = ("state", "kind", "queue", "tag", "lane", "error_type", "created_after", "created_before")
BY_END = ("finished_after", "finished_before")
