"""Make a virtual environment that matches a lock. Run by scripts/setup; needs nothing but the standard library.

The environment holds only what the lock names. Nothing is resolved, so no new release of any package changes it.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import installers

ROOT = Path(__file__).resolve().parent.parent
# The second lock has every package of the first, in the same version.
COVERED_BY = {"embedded": "dev"}

Stamp = dict[str, str]


class Environment:
    """The environment in `folder`, with the stamps of what was installed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._unfinished = folder / "unfinished"

    def is_sound(self, version: str | None) -> bool:
        """Whether the environment was completed in this folder by the Python that it has now.

        In a folder that was moved or copied, the scripts still name the old folder and run what is there.
        """
        here = {"folder": str(self.folder), "python": str(version)}
        stamps = [_read(file) for file in self.folder.glob("bin/.installed-*")]
        return (
            version is not None
            and not self._unfinished.exists()
            and all(here.items() <= {**here, **stamp}.items() for stamp in stamps)
        )

    def holds(self, lock: str, stamp: Stamp) -> bool:
        return _read(self._stamp_file(lock)) == stamp

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Mark the environment as unfinished meanwhile, so that the next `make` rebuilds it after an interruption."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._unfinished.touch()
        for stamp in self.folder.glob("bin/.installed-*"):
            stamp.unlink()
        yield
        self._unfinished.unlink()

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def write(self, lock: str, stamp: Stamp) -> None:
        self._stamp_file(lock).write_text(json.dumps(stamp))

    def _stamp_file(self, lock: str) -> Path:
        return self.folder / "bin" / f".installed-{lock}"


def is_set_up(environment: Environment, lock: str, *, checkout: bool) -> bool:
    """Whether the environment matches the lock, and nobody is changing it."""
    version = version_of(environment.python)
    if not environment.is_sound(version) or not _is_wanted(version):
        return False
    covering = {lock, COVERED_BY.get(lock, lock)}
    return any(environment.holds(name, _stamp(environment, name, checkout=checkout)) for name in covering)


def set_up(environment: Environment, lock: str, *, checkout: bool) -> None:
    """Make the environment match the lock. Raises `Refused`."""
    if is_set_up(environment, lock, checkout=checkout):
        return
    version = version_of(environment.python)
    sound = environment.is_sound(version) and _is_wanted(version)
    if not sound or not installers.can_install(environment.python):
        environment.remove()
    with environment.changing():
        if not environment.python.exists():
            print(f"Setting up {environment.folder.name} with Python {version_of(sys.executable)} ...", flush=True)
            installers.create(environment.folder)
        print("Installing the locked packages (a minute the first time) ...", flush=True)
        installers.install(environment.python, ROOT / f"requirements/{lock}.lock", checkout=ROOT if checkout else None)
    environment.write(lock, _stamp(environment, lock, checkout=checkout))


def _stamp(environment: Environment, lock: str, *, checkout: bool) -> Stamp:
    """Return what an environment with the packages of a lock is stamped with."""
    projects = [ROOT / "pyproject.toml", ROOT / "client" / "pyproject.toml"] if checkout else []
    inputs = [ROOT / f"requirements/{lock}.lock", *projects]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    return {"folder": str(environment.folder), "python": str(version_of(environment.python)), "inputs": digest}


def _is_wanted(version: str | None) -> bool:
    """Whether an environment of this Python will do: it is new enough, and `PYTHON` names no other version."""
    named = os.environ.get("PYTHON")
    new_enough = version is not None and tuple(map(int, version.split("."))) >= (3, 11)
    return new_enough and (not named or version_of(named) == version)


def version_of(python: Path | str) -> str | None:
    """Ask a Python for its version, such as `3.11`; return None if it does not run."""
    ask = "import sys; print(*sys.version_info[:2], sep='.')"
    try:
        answer = subprocess.run([str(python), "-I", "-c", ask], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _read(file: Path) -> Stamp:
    try:
        stamp: Stamp = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return stamp


@contextmanager
def alone() -> Iterator[None]:
    """Make any other `make` that sets up an environment of this checkout wait."""
    with Path(__file__).open("r+b") as own:
        try:
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another make that is setting up an environment here ...", flush=True)
            fcntl.flock(own, fcntl.LOCK_EX)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("venv", type=Path)
    parser.add_argument("lock")
    parser.add_argument("--without-checkout", action="store_true")
    arguments = parser.parse_args()
    environment, checkout = Environment(arguments.venv.resolve()), not arguments.without_checkout
    try:
        if is_set_up(environment, arguments.lock, checkout=checkout):
            return
        with alone():
            set_up(environment, arguments.lock, checkout=checkout)
    except (installers.Refused, OSError) as reason:
        sys.exit(f"error: {reason}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the next make begins anew")


if __name__ == "__main__":
    main()
