import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.features import FEATURES

ROOT = Path(__file__).parents[1]
LONGEST_FILE = 350
_CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS: list[list[str]] = [layer.split(" | ") for layer in _CONTRACTS[0]["layers"]]
SOURCES = sorted(path for folder in ("jobs", "service") for path in (ROOT / folder).rglob("*.py"))


def test_imports_keep_to_the_layers() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint_imports], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_has_grown_into_a_thousand_line_room(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


def imported(path: Path) -> Iterator[str]:
    """Return the top names of all imports of a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def test_jobs_never_imports_the_service() -> None:
    files = [path for path in SOURCES if path.is_relative_to(ROOT / "jobs")]
    assert files
    assert not [path for path in files if {"service", "worker_settings", "tests"} & set(imported(path))]


def test_nobody_imports_worker_settings_or_the_tests() -> None:
    assert not [path for path in SOURCES if {"worker_settings", "tests"} & set(imported(path))]


def test_every_module_of_the_service_is_in_a_layer_or_a_feature() -> None:
    modules = {path.name.removesuffix(".py") for path in (ROOT / "service").iterdir() if path.suffix in ("", ".py")}
    features = {feature.name for feature in FEATURES}
    assert (
        modules - {"__init__", "__pycache__", "migrations"} == {name for layer in LAYERS for name in layer} | features
    )


@pytest.mark.parametrize("feature", [feature.name for feature in FEATURES])
def test_a_feature_imports_only_what_lies_below_it(feature: str) -> None:
    below = {name for layer in LAYERS[LAYERS.index(["features"]) + 1 :] for name in layer}
    files = (ROOT / "service" / feature).rglob("*.py")
    assert {name for path in files for name in rooms_imported(path)} <= below | {feature}


def test_only_the_list_imports_features() -> None:
    features = {feature.name for feature in FEATURES}
    for path in (ROOT / "service").rglob("*.py"):
        if path.name != "features.py" and path.relative_to(ROOT / "service").parts[0] not in features:
            assert not features & rooms_imported(path), path


def rooms_imported(path: Path) -> set[str]:
    """Return the modules and folders directly in `service/` that a file imports."""
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "service":
            rooms.update(alias.name for alias in node.names)
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        rooms.update(name.split(".")[1] for name in names if name.startswith("service."))
    return rooms


def test_kinds_know_nothing_of_sql() -> None:
    """`jobs/kit/context.py` names the type of a session, for type checkers alone."""
    files = [path for path in SOURCES if path.is_relative_to(ROOT / "jobs")]
    assert [path.name for path in files if "sqlalchemy" in set(imported(path))] == ["context.py"]
    script = "import jobs, sys; jobs.load(); sys.exit('sqlalchemy' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_worker_imports_neither_fastapi_nor_alembic() -> None:
    script = "import service.worker.startup, sys; sys.exit(bool({'fastapi', 'alembic'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_no_kind_reads_the_environment() -> None:
    files = [path for path in SOURCES if path.is_relative_to(ROOT / "jobs")]
    assert not [path for path in files if "environ" in path.read_text() or "getenv" in path.read_text()]
