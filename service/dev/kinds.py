"""Loads the kinds as the API and the worker do, in a process that ends: finds their mistakes and their folders."""

import asyncio
import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.errors import StartRefused


async def check(env: Mapping[str, str]) -> frozenset[Path]:
    """Load all kinds; return the folders of their code. Raises `StartRefused` if a kind cannot be used."""
    # -P: a `jobs.py` in the caller's folder must not stand in for ours.
    command = [sys.executable, "-P", "-m", "service.dev.kinds"]
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, limit=2**20
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    # Modules may print as well; only the last line is ours.
    answer = output.decode(errors="replace").rstrip().rpartition("\n")[2]
    if process.returncode != 0:
        raise StartRefused(answer or f"loading the kinds ended with exit code {process.returncode}")
    return frozenset(map(Path, json.loads(answer)))


def main() -> None:
    """Print the folders as JSON or, with exit code 1, the reason why there is no catalogue."""
    import jobs
    from service.settings import Settings

    before = set(sys.modules) - {name for name in sys.modules if name.partition(".")[0] == "jobs"}
    try:
        jobs.load(Settings().jobs)
    except jobs.CatalogueError as error:
        print(str(error).replace("\n", " "))  # noqa: T201 - read by `check`
        sys.exit(1)
    print(json.dumps(sorted(set(_folders(set(sys.modules) - before)))))  # noqa: T201


def _folders(modules: set[str]) -> Iterator[str]:
    """Yield the folders of these modules, except Python's own and those of installed packages."""
    own = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    for name in modules:
        file = getattr(sys.modules[name], "__file__", None)
        if not file:
            continue
        folder = Path(file).resolve().parent
        if name.partition(".")[0] == "jobs" or not any(folder.is_relative_to(each.resolve()) for each in own):
            yield str(folder)


if __name__ == "__main__":
    main()
