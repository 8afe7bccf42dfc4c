"""A copy of this checkout to change, and to run."""

import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from signal import Signals

import httpx

from tests.support.forking import ForkServer
from tests.support.processes import BIN, ForkedChild, free_port, ran
from tests.support.running import eventually

ROOT = Path(__file__).parents[2]
# What Hypothesis found in Unicode and in each source: seconds, where it looks for them anew.
KNOWN_TO_HYPOTHESIS = {"HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis")}
WITHIN_S = 120.0
_ALREADY_IMPORTED = "ignore::pytest.PytestAssertRewriteWarning"
# Compiled code is copied too: it fits as long as its source is unchanged. Others may be compiling at this moment.
_UNFINISHED = shutil.ignore_patterns("*.pyc.*")


class Checkout:
    """A copy in `folder`, whose programs run with the `settings` given as POSTLUDE_ variables.

    They are forks of a process that imports the copy for the first of them; edit it before.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        # What is installed is the checkout itself; the copy comes first.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("POSTLUDE_")}
        self._inherited = inherited | {"PYTHONPATH": str(folder)} | KNOWN_TO_HYPOTHESIS
        self._settings = {f"POSTLUDE_{name}": value for name, value in settings.items()}
        self._settings["POSTLUDE_DATA_DIR"] = str(folder / "var")
        for name in ("client", "deploy", "docs", "jobs", "service", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=_UNFINISHED)
        for name in ("pyproject.toml", "postlude_command.py", "worker_settings.py"):
            shutil.copy(ROOT / name, folder)

    @cached_property
    def _server(self) -> ForkServer:
        return ForkServer(self._inherited, self.folder)

    @contextmanager
    def closing(self) -> Iterator["Checkout"]:
        """End at the end what imported the copy."""
        try:
            yield self
        finally:
            if "_server" in vars(self):
                self._server.close()

    def edit(self, name: str, pattern: str, replacement: str) -> None:
        """Replace what `pattern` finds once in a file."""
        path = self.folder / name
        text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.M)
        assert count == 1, f"{name} has no {pattern!r}"
        path.write_text(text)

    def postlude(self, *words: str) -> str:
        """Run a command of the copy to its end; return what it printed."""
        return self._run(str(BIN / "postlude"), *words)

    def python(self, module: str, *words: str) -> str:
        """Run a module on the copy to its end; return what it printed."""
        return self._run(sys.executable, "-m", module, *words)

    def pytest(self, *words: str) -> str:
        """Run tests of the copy; return what was printed."""
        # A plugin of a library that is imported by now cannot be rewritten, and need not be.
        return self.python("pytest", "-q", "-p", "no:cacheprovider", "-W", _ALREADY_IMPORTED, *words)

    def _run(self, *argv: str) -> str:
        variables = self._inherited | self._settings
        done = ran(argv, variables, self.folder, server=self._server, within_s=WITHIN_S)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @asynccontextmanager
    async def api(self) -> AsyncIterator[httpx.AsyncClient]:
        """Run the copy's API; yield a client of it."""
        port = str(free_port())
        variables = self._inherited | self._settings | {"POSTLUDE_PORT": port}
        with (self.folder / "api.log").open("wb") as log:
            output = log.fileno()
            argv = (str(BIN / "postlude"), "api")
            child = ForkedChild(self._server.start(argv, variables, self.folder, output, output))
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:

                async def answers() -> bool:
                    assert child.returncode is None, (self.folder / "api.log").read_text()
                    try:
                        return (await client.get("/readyz")).status_code == 200
                    except httpx.TransportError:
                        return False

                await eventually(answers, timeout_s=WITHIN_S)
                yield client
        finally:
            child.send_signal(Signals.SIGTERM)
            await child.wait()
