"""Restarts the API and the worker when a file of a kind has changed, provided the kinds can still be used."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from watchfiles import PythonFilter, awatch

from service.dev import kinds
from service.dev.screen import say
from service.dev.supervisor import Supervisor
from service.errors import StartRefused

_SETTLE_MS = 200


async def on_change(supervisor: Supervisor, env: Mapping[str, str], folders: frozenset[Path]) -> None:
    """Watch for ever. A change during the start is seen, too, and waits until everything runs."""
    while True:
        folders = await _until_others_count(folders, lambda: _reload(supervisor, env))


async def _until_others_count(
    folders: frozenset[Path], reload: Callable[[], Awaitable[frozenset[Path] | None]]
) -> frozenset[Path]:
    """Reload at each change in `folders` until the kinds are in other folders; return the other folders."""
    async for _ in awatch(*folders, watch_filter=PythonFilter(), recursive=False, debounce=_SETTLE_MS):
        found = await reload()
        if found not in (None, folders):
            return found or folders
    return folders


async def _reload(supervisor: Supervisor, env: Mapping[str, str]) -> frozenset[Path] | None:
    await supervisor.until_ready()
    try:
        folders = await kinds.check(env)
    except StartRefused as error:
        say(f"the kinds cannot be loaded: {error}")
        say("the API and the worker go on as they were; fix this and save, and both are restarted")
        return None
    say("a file of the kinds has changed: restarting the API and the worker")
    await supervisor.reload()
    return folders
