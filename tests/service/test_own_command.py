"""The `postlude` command as somebody can type it here."""

from pathlib import Path

import pytest

from service.own_command import own_command


def test_a_command_is_its_name_if_a_shell_would_find_it_and_otherwise_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my env" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.setattr("sys.executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert own_command() == "postlude"  # nobody knows where it is
    (folder / "postlude").touch(mode=0o755)
    assert own_command() == f"'{folder}/postlude'"
    monkeypatch.chdir(tmp_path)
    assert own_command() == "'my env/bin/postlude'"
    monkeypatch.setenv("PATH", str(folder))
    assert own_command() == "postlude"
