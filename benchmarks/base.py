"""The checkout of another revision, in an environment of its own, beside which this one is measured."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.contenders import ROOT

FOLDER = ROOT / ".bench-base"


class NoBase(Exception):
    """There is no such revision, or it cannot be installed; the message says why."""


def checkout(revision: str) -> Path:
    """Lay out a revision in a folder named after its commit, install its locked packages, and return the folder.

    Both are kept, so that the next comparison with it starts at once. Raises `NoBase`.
    """
    commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    if not commit:
        raise NoBase(f"git knows no revision {revision}")
    folder = FOLDER / commit[:12]
    if not folder.exists():
        _extract(_git("archive", commit), folder)
    setting_up = ["scripts/setup", ".venv", "dev"]
    if subprocess.run(setting_up, cwd=folder, env={**os.environ, "PYTHON": sys.executable}, check=False).returncode:
        raise NoBase(f"`{' '.join(setting_up)}` failed in {folder}")
    return folder


def _extract(archive: bytes, folder: Path) -> None:
    """Fill the folder under another name first: an interrupted one must not pass for a checkout."""
    partial = folder.with_suffix(".partial")
    partial.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "-x", "-C", str(partial)], input=archive, check=True)
    partial.rename(folder)


def _git(*args: str) -> bytes:
    return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, check=False).stdout
