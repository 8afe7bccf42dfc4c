import sys
from pathlib import Path

import pytest

from jobs.kit.hidden import hidden_by_ours, why_hidden

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder at the end of the import path."""
    monkeypatch.setattr(sys, "path", [str(ROOT), str(tmp_path)])
    monkeypatch.chdir(ROOT)
    return tmp_path


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_package_and_a_module_of_our_names_are_told_with_both_paths(project: Path) -> None:
    write(project / "jobs" / "mail.py")
    write(project / "service.py")
    first, second = hidden_by_ours()
    assert f"({ROOT / 'jobs'}), which hides {project / 'jobs'}: rename that one" in first
    assert f"({ROOT / 'service'}), which hides {project / 'service.py'}: rename that one" in second
    assert why_hidden("jobs.mail") == first
    assert why_hidden("service") == second


def test_the_current_folder_counts_and_the_same_place_counts_once(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / "jobs" / "__init__.py")
    monkeypatch.setattr(sys, "path", [str(ROOT), str(project), f"{project}/../{project.name}"])
    monkeypatch.chdir(project)
    assert len(list(hidden_by_ours())) == 1
    monkeypatch.setattr(sys, "path", [str(ROOT)])
    assert len(list(hidden_by_ours())) == 1


def test_folders_without_code_and_other_names_are_left_alone(project: Path) -> None:
    write(project / "service" / "compose.yaml")
    write(project / "billing" / "__init__.py")
    assert list(hidden_by_ours()) == []
    assert why_hidden("billing.kinds") is None
