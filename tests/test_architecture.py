import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from service.features import FEATURES
from tests.mirror import TESTED_BY, TYPES_ONLY

ROOT = Path(__file__).parents[1]
LONGEST_FILE = 350
LONGEST_FUNCTION = 40
MIGRATIONS = ROOT / "service" / "migrations"
_CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS: list[list[str]] = [layer.split(" | ") for layer in _CONTRACTS[0]["layers"]]
SOURCES = sorted(path for folder in ("jobs", "service") for path in (ROOT / folder).rglob("*.py"))
CLIENT = sorted((ROOT / "client" / "src").rglob("*.py"))


def test_imports_point_down_the_layers() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint_imports], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


def test_no_file_is_too_long_to_read() -> None:
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in [*SOURCES, *CLIENT]}
    assert {name: count for name, count in lines.items() if count > LONGEST_FILE} == {}


class Facts(NamedTuple):
    """What the tests here look at in a file. The whole trees of all files would keep the garbage collector busy."""

    imports: Sequence[ast.Import | ast.ImportFrom]
    functions: Sequence[tuple[str, int]]
    begun: Sequence[ast.Attribute]


@cache
def facts(path: Path) -> Facts:
    """Return where a file imports, the lines of each of its functions, and of what it takes a `begin`."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return Facts(
        [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)],
        [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions],
        [node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "begin"],
    )


def long_functions(path: Path) -> Iterator[str]:
    for name, lines in facts(path).functions:
        if lines > LONGEST_FUNCTION:
            yield f"{path.relative_to(ROOT)}: {name} has {lines} lines"


def test_no_function_is_longer_than_a_screen() -> None:
    sources = [path for path in [*SOURCES, *CLIENT] if MIGRATIONS not in path.parents]
    assert [long for path in sources for long in long_functions(path)] == []


def test_the_client_knows_nothing_of_the_service() -> None:
    assert CLIENT
    assert not [
        path for path in CLIENT if {"service", "jobs", "postlude_command", "worker_settings"} & set(imported(path))
    ]


def mirrored(module: str) -> Path:
    """Return where the tests of a module belong."""
    path = Path(module)
    return ROOT / "tests" / path.parent / f"test_{path.name}"


def is_of_the_engine(path: Path) -> bool:
    """Whether a module is of no feature and no kind: each of those has a folder of tests, which goes when it goes."""
    room, *below = path.relative_to(ROOT).parts
    return below[0] == "kit" if room == "jobs" else below[0] not in {feature.name for feature in FEATURES}


def test_every_module_of_the_engine_has_a_test_of_its_name_or_is_listed_with_what_tests_it() -> None:
    listed = {module for modules in TESTED_BY.values() for module in modules}
    sources = [path for path in SOURCES if path.name != "__init__.py" and MIGRATIONS not in path.parents]
    modules = {str(path.relative_to(ROOT)) for path in sources if is_of_the_engine(path)}
    tested = {module for module in modules if mirrored(module).exists()}
    assert sorted(modules - tested - listed) == [], "neither tested at the mirrored place nor listed in tests/mirror.py"
    assert sorted(listed - (modules - tested)) == [], "listed in tests/mirror.py, but tested at its place, or gone"
    assert [test for test in TESTED_BY if test != TYPES_ONLY and not (ROOT / test).exists()] == []


@pytest.mark.parametrize(
    "part",
    sorted(
        {
            "/".join(path.relative_to(ROOT).parts[:2])
            for path in SOURCES
            if not is_of_the_engine(path) and path != ROOT / "jobs" / "__init__.py"
        }
    ),
)
def test_every_kind_and_every_feature_has_tests_of_its_own(part: str) -> None:
    assert mirrored(part).is_file() or list((ROOT / "tests" / part).rglob("test_*.py"))


def imported(path: Path) -> Iterator[str]:
    """Return the top-level names that a file imports, also inside functions."""
    for node in facts(path).imports:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif node.level == 0 and node.module:
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
    for node in facts(path).imports:
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


# How each starts, from the lightest to the heaviest, and what it must do without.
HEAVY = (
    ("import jobs; jobs.load()", ("sqlalchemy", "PIL", "blurhash")),
    # Each would make a child process of a worker 40 MB larger, and start 0.8 s later.
    ("import service.worker.performing.processes.program", ("sqlalchemy", "redis", "arq")),
    ("import service.worker.startup", ("fastapi", "alembic")),
    ("import service.app; service.app.create_app()", ("alembic",)),
)


_QUICK = "import gc, sys; gc.disable()  # a fifth of the time that the imports take"


def test_kinds_children_workers_and_the_api_import_nothing_heavy_that_is_not_theirs() -> None:
    """One process imports all: one for each would import the same again."""
    asks = [f"{start}\nassert not {set(heavy)} & set(sys.modules), {start!r}" for start, heavy in HEAVY]
    subprocess.run([sys.executable, "-c", "\n".join([_QUICK, *asks])], cwd=ROOT, check=True)


def test_no_kind_reads_the_environment() -> None:
    files = [path for path in SOURCES if path.is_relative_to(ROOT / "jobs")]
    assert not [path for path in files if "environ" in path.read_text() or "getenv" in path.read_text()]


OPENS_TRANSACTIONS = {"database", "engine", "connection", "session"}
OPENERS = {"service/ledger/database.py", "service/ledger/engines.py", "service/ledger/sqlite_writer.py"}


def is_write_door(path: Path) -> bool:
    """Whether a file may write: the ledger's records, a feature's, and kinds, which write what is their own."""
    name = str(path.relative_to(ROOT))
    return name.startswith(("service/ledger/records/", "jobs/")) or path.name == "records.py"


def writes_of(path: Path) -> Iterator[str]:
    """Return what in a file begins a write: SQLAlchemy's insert, update or delete, or a transaction."""
    for node in facts(path).imports:
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        if module.startswith("sqlalchemy") or module == "service.ledger.rows":
            yield from {alias.name for alias in node.names} & {"insert", "update", "delete", "insert_for"}
    for begun in facts(path).begun if str(path.relative_to(ROOT)) not in OPENERS else ():
        opener = begun.value.attr if isinstance(begun.value, ast.Attribute) else getattr(begun.value, "id", "")
        if opener.strip("_") in OPENS_TRANSACTIONS:
            yield f"{opener}.begin"


def test_every_write_goes_through_the_one_door() -> None:
    files = [path for path in SOURCES if not is_write_door(path)]
    assert {str(path.relative_to(ROOT)): found for path in files if (found := list(writes_of(path)))} == {}
    door = next(path for path in SOURCES if path.name == "started.py")
    assert list(writes_of(door)), "what the door does is recognised"


def test_the_whole_form_runs_every_test_that_is_longer_in_it() -> None:
    """Outside the fault suite it runs only what is marked `short`."""
    tests = [path for folder in (ROOT / "tests", ROOT / "client" / "tests") for path in folder.rglob("test_*.py")]
    outside = [path for path in tests if "faults" not in path.parts]
    longer = [path for path in outside if "from tests.faults.form import WHOLE" in path.read_text()]
    assert len(longer) > 5
    assert [path for path in longer if "pytest.mark.short" not in path.read_text()] == []
