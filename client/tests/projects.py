"""Runs the suites of other projects, each in a process of its own with the plugin installed."""

import os
import subprocess
import sys
from pathlib import Path

_OURS = ("PYTEST", "COV", "POSTLUDE")
# Plugins that are installed here for other tests, and would take half of a start.
_NOT_THEIRS = ("schemathesis", "hypothesispytest", "valkey")


def run_pytest(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    without = [f"-pno:{name}" for name in ("cacheprovider", *_NOT_THEIRS)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--tb=short", *without, *options],
        cwd=folder,
        env=theirs | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def assert_passes(folder: Path, *options: str, **environment: str) -> None:
    done = run_pytest(folder, *options, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
