"""What docs/testing.md shows works as it says: its code runs as the suite of a project."""

import re
from pathlib import Path

import pytest
from client.tests.projects import assert_passes, run_pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
FILES: dict[str, str] = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", GUIDE, re.DOTALL))
INI = """[pytest]
pythonpath = .
addopts = --strict-markers
asyncio_default_fixture_loop_scope = function
filterwarnings =
    error
    ignore:Using .httpx. with .starlette.testclient. is deprecated
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text(INI)
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
    return tmp_path


def test_every_piece_of_code_is_a_file_that_runs_here() -> None:
    assert GUIDE.count("```python") == len(FILES) == 8


def test_suite_of_the_guide_passes_without_a_service(project: Path) -> None:
    assert_passes(project)


def test_suite_of_the_guide_passes_wherever_the_service_is_said_to_be(project: Path) -> None:
    assert_passes(project, POSTLUDE_URL="http://127.0.0.1:9", POSTLUDE_REQUIRED="1")


def test_suite_of_the_guide_passes_in_several_processes(project: Path) -> None:
    assert_passes(project, "-n", "2")


def test_failure_is_shown_as_the_guide_says(project: Path) -> None:
    (project / "test_failing.py").write_text(
        FILES["test_enqueued.py"].replace('email="ann@example.com")\n    assert', 'email="bo@example.com")\n    assert')
    )
    shown = run_pytest(project, "-q", "test_failing.py").stdout
    first, second = re.findall(r"```text\n(.*)\n(.*)\n```", GUIDE)[0]
    assert first in shown
    before, after = second.split("…")
    assert before in shown
    assert after in shown
