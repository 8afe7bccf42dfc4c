"""The `postlude` command as somebody can type it here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.own_command import _found, own_command


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test find the command anew, and leave nothing found to others."""
    monkeypatch.delenv("POSTLUDE_DATA_DIR", raising=False)
    _found.cache_clear()
    yield
    _found.cache_clear()


def found_now() -> str:
    _found.cache_clear()
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


def test_a_command_names_the_data_dir_unless_it_is_the_one_it_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    for given, shown in (
        ("", ""),
        ("var", ""),
        (str(tmp_path / "var"), ""),
        ("./my demo", "POSTLUDE_DATA_DIR='my demo' "),
        ("/srv/postlude", "POSTLUDE_DATA_DIR=/srv/postlude "),
    ):
        monkeypatch.setenv("POSTLUDE_DATA_DIR", given)
        assert own_command() == f"{shown}postlude"
