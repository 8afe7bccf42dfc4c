"""The `postlude` command as somebody can type it here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.own_command import own_command


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Let each test find the command anew, and leave nothing found to others."""
    own_command.cache_clear()
    yield
    own_command.cache_clear()


def found_now() -> str:
    own_command.cache_clear()
    return own_command()


def test_a_command_is_its_name_if_a_shell_would_find_it_and_otherwise_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my env" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setattr("sys.executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert found_now() == "postlude"  # nobody knows where it is
    (folder / "postlude").touch(mode=0o755)
    assert found_now() == f"'{folder}/postlude'"
    monkeypatch.chdir(tmp_path)
    assert found_now() == "'my env/bin/postlude'"
    monkeypatch.setenv("PATH", str(folder))
    assert found_now() == "postlude"


def test_a_command_is_its_name_in_a_folder_that_is_gone_and_is_looked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "postlude").touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert own_command() == "postlude"
    monkeypatch.chdir(tmp_path)
    assert own_command() == "postlude", "each page that names it would search the PATH"
