"""What to do with background tasks: send them to the service or, without one, run them here."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple, Protocol


class Mode(Enum):
    SEND = "send"
    """Send them to the service."""
    LOCAL = "local"
    """Without `POSTLUDE_URL`: run after the response, like FastAPI's own class, and lost if that fails."""
    INLINE = "inline"
    """For tests: run after the response, but in the way the service would."""
    HELD = "held"
    """For tests: kept until the test runs them."""


class Added(Protocol):
    """A task that a request, or `await tasks()`, has enqueued."""

    @property
    def id(self) -> str: ...

    @property
    def function(self) -> str:
        """The name under which the function travels."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The values it will be called with, by parameter name."""

    async def run(self) -> Any:
        """Run it in the way the service would. Raises what the function raises."""


StandIn = Callable[[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]], Added | None]
"""Takes a function and its arguments, and returns the task if a test has replaced one of them."""


class _Forced(NamedTuple):
    mode: Mode | None = None
    watch: Callable[[Added], None] | None = None
    stand_in: StandIn | None = None


_forced = _Forced()


def force(mode: Mode | None, watch: Callable[[Added], None] | None = None, stand_in: StandIn | None = None) -> None:
    """Set the mode of all apps of this process, for tests; None lets the settings decide again.

    With INLINE and HELD, `watch` gets each task as it is enqueued; with HELD, it must keep them. `stand_in` is
    asked about calls that cannot travel.
    """
    global _forced
    _forced = _Forced(mode, watch, stand_in)


def current(url: str | None) -> Mode:
    """Return the mode of an app whose service is at `url`."""
    return _forced.mode or (Mode.SEND if url else Mode.LOCAL)


def tell(added: Added) -> None:
    if _forced.watch is not None:
        _forced.watch(added)


def stand_in(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Added | None:
    """Return the task if a test has replaced its function or an argument: it need not travel."""
    return _forced.stand_in(function, args, kwargs) if _forced.stand_in else None
