"""The suites of six apps, written for FastAPI's `BackgroundTasks`, pass as they are once the import is changed."""

import shutil
from pathlib import Path

import pytest
from client.tests.projects import assert_passes
from client.tests.swapping import swap_folder

APPS = Path(__file__).parent / "apps"
NAMES = sorted(path.parent.name for path in APPS.glob("*/pytest.ini"))


@pytest.fixture(params=NAMES)
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of an app and of its suite."""
    name: str = request.param
    return shutil.copytree(APPS / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.short("shop")
def test_suite_passes_with_the_class_of_fastapi(app: Path) -> None:
    assert_passes(app)


def test_suite_passes_with_the_import_changed(app: Path) -> None:
    swap_folder(app, mount=False)
    assert_passes(app)


@pytest.mark.short("shop")
def test_suite_passes_with_postlude_added(app: Path) -> None:
    swap_folder(app, mount=True)
    assert_passes(app)


@pytest.mark.short("shop")
def test_suite_passes_with_its_own_imports_changed_as_well(app: Path) -> None:
    swap_folder(app, mount=True, suite=True)
    assert_passes(app)
