import dataclasses
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import Catalogue, CatalogueError, Context, job, load
from tests.jobs.kit.declaring import GreetArgs, greet
from tests.support.processes import BIN, ROOT, WORKER, environment, ran


@job("greet")
async def greet_again(ctx: Context, args: GreetArgs) -> None: ...


def test_two_kinds_of_one_name_are_refused_with_both_files_named() -> None:
    other = dataclasses.replace(greet_again, file="shop/kinds.py")
    catalogue = Catalogue()
    catalogue.add(greet)
    with pytest.raises(CatalogueError, match=r"^shop/kinds\.py: kind 'greet': .* taken by tests/jobs/kit/declaring"):
        catalogue.add(other)
    assert catalogue["greet"] is greet


def test_a_kind_found_twice_is_one_kind() -> None:
    catalogue = Catalogue()
    catalogue.add(greet)
    catalogue.add(greet)
    assert dict(catalogue) == {"greet": greet}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, of which nothing stays imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: Path, source: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))


KIND = """
    from pydantic import BaseModel
    from jobs import Context, job

    class Args(BaseModel):
        n: int = 1

    @job({name!r})
    async def kind(ctx: Context, args: Args) -> int:
        return args.n
"""


def test_built_in_kinds_are_found() -> None:
    assert {"send_webhook", "send_email", "update_stats", "cleanup"} <= set(load())


def test_modules_are_found_in_the_current_folder_and_its_packages(here: Path) -> None:
    write(here / "shop_kinds.py", KIND.format(name="shop"))
    write(here / "billing" / "__init__.py", "")
    write(here / "billing" / "kinds.py", KIND.format(name="bill"))
    catalogue = load(["shop_kinds", "billing.kinds"])
    assert catalogue["shop"].file == "shop_kinds.py"
    assert catalogue["bill"].file == "billing/kinds.py"
    assert "cleanup" in catalogue


def test_a_kind_that_one_module_imports_from_another_is_one_kind(here: Path) -> None:
    write(here / "first_kinds.py", KIND.format(name="one"))
    write(here / "second_kinds.py", "from first_kinds import kind as again")
    assert load(["first_kinds", "second_kinds"])["one"].file == "first_kinds.py"


def test_a_kind_named_like_a_built_in_one_is_refused(here: Path) -> None:
    write(here / "greedy_kinds.py", KIND.format(name="cleanup"))
    with pytest.raises(CatalogueError, match=r"^greedy_kinds\.py: kind 'cleanup': .*jobs/cleanup\.py$"):
        load(["greedy_kinds"])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import nothing_of_the_kind",
            "ModuleNotFoundError: No module named 'nothing_of_the_kind' (broken.py, line 1)",
        ),
        ("\n\nx = unknown", "NameError: name 'unknown' is not defined (broken.py, line 3)"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit: 0 (broken.py, line 1)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_reported_with_its_file_line_and_reason(
    here: Path, source: str, reason: str
) -> None:
    write(here / "broken.py", source)
    with pytest.raises(CatalogueError) as refused:
        load(["broken"])
    assert str(refused.value).startswith("broken: the module named by POSTLUDE_JOBS cannot be imported: ")
    assert reason in str(refused.value)
    assert "broken.py, line " in str(refused.value)


def test_a_missing_module_is_reported_by_its_name(here: Path) -> None:
    with pytest.raises(CatalogueError, match=r"^no_such_kinds: .*POSTLUDE_JOBS.*No module named 'no_such_kinds'$"):
        load(["no_such_kinds"])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1", "the module named by POSTLUDE_JOBS declares no kinds (empty.py)"),
        ("from jobs import job", "the module named by POSTLUDE_JOBS declares no kinds (empty.py)"),
        (f"{textwrap.dedent(KIND.format(name='k'))}KINDS = [kind]\ndel kind", "it is only inside `KINDS`"),
        (f"{textwrap.dedent(KIND.format(name='k'))}KINDS = {{'k': kind}}\ndel kind", "it is only inside `KINDS`"),
        (
            textwrap.dedent(KIND.format(name="k")).replace("kind(", "other(", 1)
            + "class Kinds:\n    one = other\ndel other",
            "it is only inside `Kinds`",
        ),
        (
            textwrap.dedent(KIND.format(name="k")).replace("kind(", "other(", 1)
            + "class Kinds:\n    one = staticmethod(other)\ndel other",
            "it is only inside `Kinds`",
        ),
    ],
)
def test_a_module_without_kinds_is_refused(here: Path, source: str, reason: str) -> None:
    write(here / "empty.py", source)
    with pytest.raises(CatalogueError) as refused:
        load(["empty"])
    assert reason in str(refused.value)


def test_a_kind_hidden_beside_others_is_refused(here: Path) -> None:
    hidden = KIND.format(name="hidden").replace("async def kind", "async def other")
    write(here / "some_kinds.py", KIND.format(name="seen") + hidden + "\n    MORE = (other,)\n    del other\n")
    with pytest.raises(CatalogueError, match=r"kind 'hidden': it is only inside `MORE`"):
        load(["some_kinds"])


def test_kinds_may_stand_in_a_list_too_and_come_from_another_module(here: Path) -> None:
    write(here / "my_kinds.py", KIND.format(name="mine") + "\n    ALL = [kind]\n")
    write(here / "more_kinds.py", "from my_kinds import ALL, kind")
    assert load(["my_kinds", "my_kinds", "more_kinds"])["mine"].file == "my_kinds.py"


def test_a_folder_without_kinds_is_refused(here: Path) -> None:
    write(here / "shop" / "kinds.py", KIND.format(name="shop"))
    with pytest.raises(CatalogueError, match=r"shop: .* declares no kinds \(it is a folder without __init__.py\)"):
        load(["shop"])


def load_box(folder: Path, files: dict[str, str]) -> str:
    """Load a copy of `jobs/` with more files in it; return the names of its kinds, or the refusal."""
    shutil.copytree(ROOT / "jobs", folder / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    for path, source in files.items():
        write(folder / "jobs" / path, source)
    script = "import jobs\ntry: print(*jobs.load())\nexcept jobs.CatalogueError as error: print(error)"
    argv = [sys.executable, "-c", script]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_a_kind_is_found_in_any_file_of_its_folder(tmp_path: Path) -> None:
    files = {"fax/__init__.py": "", "fax/kind.py": KIND.format(name="send_fax"), "fax/sizes.py": "LARGEST = 1"}
    assert {"send_fax", "cleanup"} <= set(load_box(tmp_path, files).split())


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"fax/__init__.py": "", "fax/kind.py": "x = 1"}, "the folder declares no kind"),
        ({"fax/kind.py": KIND.format(name="send_fax")}, "the folder has no __init__.py"),
    ],
)
def test_a_folder_of_the_box_without_a_kind_is_refused(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    assert load_box(tmp_path, files).startswith(f"jobs/fax: {reason}")


@pytest.mark.parametrize("name", ["my/kinds.py", "my/kinds", "./my/kinds.py", "my\\kinds.py"])
def test_a_path_instead_of_a_module_is_answered_with_the_modules_name(here: Path, name: str) -> None:
    write(here / "my" / "kinds.py", KIND.format(name="mine"))
    with pytest.raises(CatalogueError, match=r"POSTLUDE_JOBS names modules, not files: write my\.kinds$"):
        load([name])


def test_a_file_name_instead_of_a_module_is_answered_with_the_modules_name() -> None:
    with pytest.raises(CatalogueError, match=r"^kinds\.py: .*: write kinds$"):
        load(["kinds.py"])


def worker(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run arq's CLI on the worker, without servers: it must end before it needs any."""
    paths = {"PYTHONPATH": str(ROOT), "POSTLUDE_DATA_DIR": str(folder / "data")}
    return ran((str(BIN / WORKER[0]), *WORKER[1:], "--burst"), environment() | paths | variables, folder)


TWINS = (
    "from jobs import Context, job\nfrom pydantic import BaseModel\n"
    "class Args(BaseModel): ...\n"
    "@job('twin')\nasync def one(ctx: Context, args: Args) -> None: ...\n"
    "@job('twin')\nasync def two(ctx: Context, args: Args) -> None: ...\n"
)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("import nonsense_1", ["bad_kinds: ", "No module named 'nonsense_1' (bad_kinds.py, line 1)"]),
        (TWINS, ["bad_kinds.py: kind 'twin': the name is taken by bad_kinds.py"]),
        (KIND.format(name="stars").replace("args: Args", "*n"), ["bad_kinds.py: kind 'stars': ", "'*n' of kind()"]),
        (KIND.format(name="c").replace("'c'", "'c', cron='x'"), ["bad_kinds.py: kind 'c': cron expression 'x'"]),
        (KIND.format(name="p").replace("@job('p')", "@job"), ["bad_kinds.py: `@job` needs the name of the kind"]),
        ("x = 1", ["bad_kinds: ", "declares no kinds"]),
    ],
    ids=["import", "twins", "stars", "cron", "parentheses", "none"],
)
def test_a_worker_refuses_bad_kinds_in_one_sentence(tmp_path: Path, source: str, parts: list[str]) -> None:
    write(tmp_path / "bad_kinds.py", source)
    done = worker(tmp_path, POSTLUDE_JOBS="bad_kinds")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert all(part in done.stderr for part in parts), done.stderr


def test_a_worker_refuses_a_bad_setting_in_one_sentence(tmp_path: Path) -> None:
    done = worker(tmp_path, POSTLUDE_MAX_JOBS="lots")
    assert done.returncode == 1
    assert done.stderr.startswith("error: POSTLUDE_MAX_JOBS: ")
    assert done.stderr.count("\n") == 1, done.stderr
