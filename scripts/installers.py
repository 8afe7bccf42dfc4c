"""Make environments and install into them: with uv where it works, else with venv and pip.

Of the user's configuration, keep only the settings that say where packages come from. `PIP_USER`, `PIP_TARGET`,
constraints and the like are meant for other projects: they would install other packages, or install them elsewhere.
"""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# fmt: off
_PIP_KEEPS = {
    "index_url", "extra_index_url", "find_links", "no_index", "trusted_host", "cert", "client_cert", "proxy",
    "cache_dir", "no_cache_dir", "timeout", "default_timeout", "retries", "keyring_provider",
}
_UV_KEEPS = {
    "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX", "UV_OFFLINE",
    "UV_CACHE_DIR", "UV_NO_CACHE", "UV_INSECURE_HOST", "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_KEYRING_PROVIDER",
    "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_CONFIG_FILE", "UV_LINK_MODE", "UV_CONCURRENT_DOWNLOADS",
}
# fmt: on
_OFFLINE = (
    "The reason is above. Packages come from PyPI, or from where pip is told to look (PIP_INDEX_URL, PIP_FIND_LINKS): "
    "check the connection, then run the same command again."
)


class Refused(Exception):
    """The environment cannot be made; the message says what to do."""


def create(folder: Path) -> None:
    """Make an empty environment with the Python that runs this script. Raises `Refused`."""
    if uv() is not None:
        command = [*_uv("venv"), "--quiet", "--allow-existing", "--python", sys.executable, str(folder)]
        _run(command, _uv_environment(), _OFFLINE)
        return
    if find_spec("ensurepip") is None or find_spec("venv") is None:
        raise Refused(
            f"{sys.executable} cannot make virtual environments. On Debian and Ubuntu, `apt install python3-venv` "
            "puts that right; or install uv; or name another Python: make PYTHON=/path/to/python3.11 ..."
        )
    _run([sys.executable, "-I", "-m", "venv", str(folder)], _plain_environment(), "The reason is above.")
    if (wanted := os.environ.get("SETUP_PIP")) and wanted != "bundled":
        python = folder / "bin" / "python"
        _run([*_pip(python, "install"), "--quiet", f"pip=={wanted}"], _pip_environment(python), _OFFLINE)


def can_install(python: Path) -> bool:
    """Whether packages can be installed into the environment: pip must be in it, uv need not."""
    return uv() is not None or _succeeds([str(python), "-I", "-m", "pip", "--version"])


def install(python: Path, lock: Path, *, checkout: Path | None) -> None:
    """Install the lock's packages and the checkout; check that they fit together. Raises `Refused`."""
    if uv() is not None:
        environment = _uv_environment()
        commands = [[*_uv("pip", part), "--python", str(python)] for part in ("install", "check")]
    else:
        environment = _pip_environment(python)
        commands = [_pip(python, part) for part in ("install", "check")]
    install, check = commands
    # Never resolve: pip would ask for the hashes of newer releases, which no lock can have.
    _run([*install, "--quiet", "--no-deps", "--require-hashes", "-r", str(lock)], environment, _OFFLINE)
    if checkout is not None:
        # The lock has the build tools too, so that no build environment is made from whatever is newest.
        both = ("-e", str(checkout), "-e", str(checkout / "client"))
        _run([*install, "--quiet", "--no-deps", "--no-build-isolation", *both], environment, _OFFLINE)
    # A lock with overrides contradicts what some package asks for, on purpose.
    if not lock.with_suffix(".overrides").exists():
        _run(check, environment, f"{lock.name} does not fit together. Refresh it: make lock (needs uv).")


@cache
def uv() -> str | None:
    """Find a uv that works, unless `SETUP_PIP` asks for pip. A pyenv shim can be on the PATH and fail."""
    found = None if os.environ.get("SETUP_PIP") else shutil.which("uv")
    return found if found and _succeeds([found, "--version"]) else None


def _uv(*words: str) -> list[str]:
    return [uv() or "uv", *words]


def _pip(python: Path, word: str) -> list[str]:
    # -I: neither PYTHONPATH nor the user's own site-packages belong to this environment.
    return [str(python), "-I", "-m", "pip", "--disable-pip-version-check", word]


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}


def _uv_environment() -> Mapping[str, str]:
    return _plain_environment() | {name: value for name, value in os.environ.items() if name in _UV_KEEPS}


@cache
def _pip_environment(python: Path) -> Mapping[str, str]:
    """Read pip's files and variables, and keep the settings that say where packages come from."""
    listed = subprocess.run([*_pip(python, "config"), "list"], capture_output=True, text=True, check=False).stdout
    settings: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in settings and name.replace("-", "_") in _PIP_KEEPS:
            settings[section][f"PIP_{name.replace('-', '_').upper()}"] = " ".join(ast.literal_eval(value).split())
    kept = settings["global"] | settings["install"] | settings[":env:"]
    return _plain_environment() | kept | {"PIP_CONFIG_FILE": os.devnull}


def _succeeds(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: Sequence[str], environment: Mapping[str, str], advice: str) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise Refused(f"`{' '.join(command)}` failed. {advice}")
