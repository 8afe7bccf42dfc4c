"""A copy of this checkout to change, and to run."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.support.processes import free_port
from tests.support.running import eventually

ROOT = Path(__file__).parents[2]
# What Hypothesis found in Unicode and in each source: seconds, where it looks for them anew.
KNOWN_TO_HYPOTHESIS = {"HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis")}
WITHIN_S = 120.0
# Compiled code is copied too: it fits as long as its source is unchanged. Others may be compiling at this moment.
_UNFINISHED = shutil.ignore_patterns("*.pyc.*")


class Checkout:
    """A copy in `folder`, whose programs run with the `settings` given as POSTLUDE_ variables."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("POSTLUDE_")}
        # What is installed is the checkout itself; the copy comes first.
        self._env = inherited | {f"POSTLUDE_{name}": value for name, value in settings.items()}
        self._env |= {"PYTHONPATH": str(folder), "POSTLUDE_DATA_DIR": str(folder / "var")} | KNOWN_TO_HYPOTHESIS
        for name in ("client", "deploy", "docs", "jobs", "service", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=_UNFINISHED)
        for name in ("pyproject.toml", "worker_settings.py"):
            shutil.copy(ROOT / name, folder)

    def edit(self, name: str, pattern: str, replacement: str) -> None:
        """Replace what `pattern` finds once in a file."""
        path = self.folder / name
        text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.M)
        assert count == 1, f"{name} has no {pattern!r}"
        path.write_text(text)

    def run(self, *arguments: str) -> str:
        """Run Python on the copy to its end; return what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    @asynccontextmanager
    async def api(self) -> AsyncIterator[httpx.AsyncClient]:
        """Run the copy's API; yield a client of it."""
        port = str(free_port())
        with (self.folder / "api.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "api"],
                cwd=self.folder,
                env=self._env | {"POSTLUDE_PORT": port},
                stdout=log,
                stderr=log,
            )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:

                async def answers() -> bool:
                    assert process.poll() is None, (self.folder / "api.log").read_text()
                    try:
                        return (await client.get("/readyz")).status_code == 200
                    except httpx.TransportError:
                        return False

                await eventually(answers, timeout_s=WITHIN_S)
                yield client
        finally:
            process.terminate()
            process.wait()
