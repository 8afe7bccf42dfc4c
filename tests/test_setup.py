"""`scripts/setup` withstands what breaks installations on other people's machines.

The packages are tiny wheels in a folder, so nothing here needs the network.
"""

import base64
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# An environment costs five seconds of CPU, and a machine that is busy takes its time.
pytestmark = pytest.mark.timeout(600)
WITHIN_S = 240


class Project:
    """A checkout with nothing but scripts and locks, and a folder of wheels as its index."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.folder = folder
        self.wheels = wheels
        shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "requirements").mkdir()
        (folder / "pyproject.toml").touch()

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    def lock(self, *wheels: Path) -> None:
        (self.folder / "requirements" / "tiny.lock").write_text("".join(map(_pin, wheels)))

    def start(self, **env: str) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        ours = {
            "SETUP_PIP": "bundled",
            "PYTHON": sys.executable,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
        }
        return subprocess.Popen(
            ["scripts/setup", ".venv", "tiny", "--without-checkout"],
            cwd=self.folder, env=inherited | ours | env, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def set_up(self, **env: str) -> str:
        process = self.start(**env)
        said, _ = process.communicate(timeout=WITHIN_S)
        assert process.returncode == 0, said
        return said

    def refused(self, **env: str) -> str:
        process = self.start(**env)
        said, _ = process.communicate(timeout=WITHIN_S)
        assert process.returncode == 1, said
        assert "Traceback" not in said
        return said

    def versions(self, *packages: str) -> list[str]:
        """Ask the environment's Python for the versions that it imports."""
        script = f"import {', '.join(packages)}; print({', '.join(f'{name}.version' for name in packages)})"
        return subprocess.check_output([self.venv / "bin" / "python", "-I", "-c", script], text=True).split()


def make_wheel(folder: Path, name: str, version: str, requires: str = "") -> Path:
    """Make a wheel with a script and one module, which knows its version."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: more\n"
    files: Mapping[str, str] = {
        f"{name}.py": f"version = '{version}'\ndef main(): print(__file__)\n",
        f"{info}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        record = f"{info}/RECORD,,\n"
        for file, text in files.items():
            wheel.writestr(file, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{file},sha256={digest},{len(text)}\n"
        wheel.writestr(f"{info}/RECORD", record)
    return path


def _pin(wheel: Path) -> str:
    name, version, *_ = wheel.name.split("-")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """An index on which a newer release has come out since the lock was made."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "covers", "2.0")
    return folder


@pytest.fixture
def project(tmp_path: Path, wheels: Path) -> Project:
    """A project in a folder with a space in its name. One package needs another with an extra that the lock lacks."""
    made = Project(tmp_path / "my project", wheels)
    made.lock(make_wheel(wheels, "covers", "1.0"), make_wheel(wheels, "asks", "1.0", requires="covers[more]>=1"))
    return made


@pytest.mark.short("no python")
@pytest.mark.parametrize("left", ["no python", "no pip"])
def test_half_an_environment_is_rebuilt_with_the_locked_packages_whatever_is_newer_or_set_and_refusals_say_what_to_do(
    project: Project, wheels: Path, tmp_path: Path, left: str
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project.venv], check=True)
    if left == "no python":
        (project.venv / "bin" / "python").unlink()
        (project.venv / "bin" / "python").symlink_to("/nowhere/python3")
    said = project.set_up(**hostile_settings(tmp_path))
    assert project.versions("covers", "asks") == ["1.0", "1.0"], said
    stamp = project.venv / "bin" / ".installed-tiny"
    before = stamp.stat().st_mtime_ns
    with (project.folder / "scripts" / "environment.py").open("r+b") as others:
        fcntl.flock(others, fcntl.LOCK_EX)  # as by a make that sets up another environment
        assert project.set_up() == ""
    assert stamp.stat().st_mtime_ns == before
    project.lock(wheels / "covers-2.0-py3-none-any.whl", wheels / "asks-1.0-py3-none-any.whl")
    project.set_up()
    assert project.versions("covers") == ["2.0"]
    lock_that_is_gone_or_inconsistent_or_without_packages_is_refused(project, wheels)


def lock_that_is_gone_or_inconsistent_or_without_packages_is_refused(project: Project, wheels: Path) -> None:
    (project.folder / "requirements" / "tiny.lock").unlink()
    project.refused()
    project.lock(wheels / "asks-1.0-py3-none-any.whl", make_wheel(wheels, "needs", "1.0", requires="absent>=3"))
    said = project.refused()
    assert "absent" in said
    assert "tiny.lock does not fit together" in said
    assert "make lock" in said
    # It begins anew, with what is there by now.
    assert "PIP_INDEX_URL" in project.refused(PIP_FIND_LINKS="/nowhere")


def hostile_settings(folder: Path) -> dict[str, str]:
    """Return settings, meant for other projects, that would install other packages or install them elsewhere."""
    (folder / "pip.conf").write_text("[global]\nuser = true\nrequire-virtualenv = true\n[install]\ntarget = /nowhere\n")
    (folder / "constraints.txt").write_text("covers==2.0\n")
    (folder / "elsewhere").mkdir()
    make_wheel(folder / "elsewhere", "other", "1.0", requires="covers>=9")
    with zipfile.ZipFile(folder / "elsewhere" / "other-1.0-py3-none-any.whl") as other:
        other.extractall(folder / "elsewhere")
    return {
        "PIP_CONFIG_FILE": str(folder / "pip.conf"),
        "PIP_CONSTRAINT": str(folder / "constraints.txt"),
        "PIP_USER": "1",
        "PIP_TARGET": str(folder / "target"),
        "PIP_DRY_RUN": "1",
        "PIP_NO_BINARY": ":all:",
        "PYTHONPATH": str(folder / "elsewhere"),
    }


def test_killed_setup_starts_over_and_two_at_once_take_turns_and_a_moved_environment_runs_what_is_in_its_new_folder(
    project: Project, tmp_path: Path
) -> None:
    process = project.start()
    deadline = time.monotonic() + WITHIN_S
    while not (project.venv / "unfinished").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    both = [project.start(), project.start()]
    said = [process.communicate(timeout=WITHIN_S)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("Setting up .venv" in each for each in said) == 1
    assert project.versions("asks") == ["1.0"]
    shutil.copytree(project.folder, tmp_path / "copy", symlinks=True)
    project.folder = tmp_path / "copy"
    assert "Setting up .venv" in project.set_up()
    ran = subprocess.check_output([project.venv / "bin" / "covers"], text=True)
    assert Path(ran.strip()).is_relative_to(project.folder)


def test_python_that_cannot_make_environments_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.setenv("SETUP_PIP", "bundled")
    import installers

    installers.uv.cache_clear()
    monkeypatch.setattr(installers, "find_spec", lambda name: None)  # like Debian's Python without python3-venv
    with pytest.raises(installers.Refused, match=r"apt install python3-venv.*make PYTHON="):
        installers.create(tmp_path / ".venv")
