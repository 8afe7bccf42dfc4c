"""Postlude beside an app that has modules of the same names: every command reports both paths at its start."""

import subprocess
from pathlib import Path

import pytest

from postlude_command import refuse_clashes
from tests.support.processes import BIN, ROOT, environment, free_port, ran

COMMANDS = ("postlude migrate", "postlude api", "postlude worker", "postlude dev", "postlude jobs list", "arq W")
OF_KINDS = ("postlude api", "postlude worker", "postlude dev", "arq W")


def start(command: str, folder: Path, *, forked: bool = False, **variables: str) -> str:
    """Run a command in a folder, where it must end by itself and say in a sentence why.

    It can be forked, which takes less, where it is not about what the command itself imports.
    """
    words = command.replace("arq W", "arq worker_settings.WorkerSettings").split()
    # Whether its port is free is looked at first of all.
    own = {"DATA_DIR": str(folder / "var"), "REDIS_URL": "redis://127.0.0.1:9", "PORT": str(free_port())}
    env = environment(**own) | variables
    argv = [str(BIN / words[0]), *words[1:]]
    if forked:
        done = ran(argv, env, folder)
    else:
        done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_package_that_hides_ours_is_told_with_both_paths_and_the_remedy(command: str, tmp_path: Path) -> None:
    write(tmp_path / "app" / "service" / "__init__.py")
    said = start(command, tmp_path, PYTHONPATH=str(tmp_path / "app"))
    assert said.startswith(f"error: Python finds {tmp_path / 'app' / 'service'} in place of Postlude's own `service`")
    assert f"in {ROOT}, " in said
    assert f"Take {tmp_path / 'app'} out of PYTHONPATH" in said


@pytest.mark.parametrize("name", ["jobs/__init__.py", "jobs.py", "service.py", "worker_settings.py"])
def test_a_module_of_each_of_our_names_is_noticed(name: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    said = start("postlude worker", tmp_path, PYTHONPATH=".")
    assert said.startswith(f"error: Python finds {tmp_path / name.removesuffix('/__init__.py')} in place of")


def test_pythons_own_way_of_running_arq_finds_the_current_folder_first(tmp_path: Path) -> None:
    write(tmp_path / "service" / "__init__.py")
    said = start("python -m arq worker_settings.WorkerSettings", tmp_path)
    assert said.startswith(f"error: Python finds {tmp_path / 'service'} in place of Postlude's own `service`")


@pytest.mark.parametrize("command", OF_KINDS)
@pytest.mark.parametrize("module", ["mail", "email"])  # ours has an `email` as well
@pytest.mark.short("email")
def test_kinds_in_a_package_that_ours_hides_are_refused_with_both_paths_and_the_remedy(
    module: str, command: str, tmp_path: Path
) -> None:
    write(tmp_path / "jobs" / f"{module}.py", "from jobs import job\n")
    said = start(command, tmp_path, forked=True, POSTLUDE_JOBS=f"jobs.{module}")
    assert f"error: jobs.{module}: POSTLUDE_JOBS names a module that Python does not find" in said
    assert f"({ROOT / 'jobs'}), which hides {tmp_path / 'jobs'}: rename that one" in said


@pytest.mark.parametrize("command", OF_KINDS)
def test_kinds_that_import_a_package_that_ours_hides_are_refused_with_both_paths(command: str, tmp_path: Path) -> None:
    write(tmp_path / "kinds.py", "from service.billing import bill\n")
    write(tmp_path / "service" / "billing.py", "bill = 1\n")
    said = start(command, tmp_path, forked=command != OF_KINDS[0], POSTLUDE_JOBS="kinds")
    assert "error: kinds: the module named by POSTLUDE_JOBS cannot be imported: ModuleNotFoundError" in said
    assert f"({ROOT / 'service'}), which hides {tmp_path / 'service'}: rename that one" in said
    assert command != "postlude api" or '"event": "package_hidden"' in said


def test_what_ours_hides_is_told_where_the_kinds_are_loaded_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "kinds.py", "from jobs import job\n@job('hello')\nasync def hello() -> None: ...\n")
    write(tmp_path / "service.py", "raise RuntimeError('not the one that was meant')\n")
    said = start("arq W", tmp_path, POSTLUDE_JOBS="kinds", POSTLUDE_DATABASE_URL="sqlite:///nowhere/x.db")
    assert '"event": "package_hidden"' in said
    assert f"which hides {tmp_path / 'service.py'}" in said


def installed(folder: Path, name: str, **files: str) -> None:
    """Write the files of a distribution, and its record of them."""
    rows = []
    for path, text in files.items():
        write(folder / path, text)
        rows.append(f"{path},sha256=x,{len(text)}\n")
    write(folder / f"{name}.dist-info" / "RECORD", "".join([*rows, f"{name}.dist-info/RECORD,,\n"]))


def test_an_app_that_was_installed_over_ours_is_named(tmp_path: Path) -> None:
    installed(tmp_path, "postlude-0.1.0", **{"service/app.py": "ours", "service/__init__.py": "", "jobs/x.py": "x"})
    installed(tmp_path, "other-1.0", **{"other/app.py": "other"})
    refuse_clashes(tmp_path)
    write(tmp_path / "jobs" / "x.py", "mended in place")
    refuse_clashes(tmp_path)
    installed(tmp_path, "shop-2.0", **{"service/__init__.py": "", "service/app.py": "of the shop"})
    with pytest.raises(
        SystemExit, match=rf"^error: shop-2\.0 has put {tmp_path}/service/app\.py over Postlude's own file"
    ):
        refuse_clashes(tmp_path)
    (tmp_path / "service" / "app.py").unlink()  # as after an incomplete uninstall of the shop
    with pytest.raises(SystemExit, match=r"shop-2\.0 has put"):
        refuse_clashes(tmp_path)
