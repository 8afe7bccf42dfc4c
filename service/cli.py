"""The `postlude` command. Heavy modules are imported inside the commands, so that help appears at once."""

import asyncio
import os
import sys
from pkgutil import resolve_name
from typing import TYPE_CHECKING

import click

from service.commands.featured import Featured
from service.commands.flows import flows
from service.commands.imports import imports
from service.commands.jobs import jobs
from service.commands.keys import keys
from service.commands.lanes import lanes
from service.commands.operations import operations
from service.commands.outbox import outbox
from service.commands.push import push
from service.commands.schedules import schedules
from service.commands.secrets import secrets
from service.commands.users import users
from service.commands.workers import workers
from service.demo.command import demo
from service.errors import LedgerUnavailable, PostludeError, StartRefused
from service.heap import gc_put_off

if TYPE_CHECKING:
    from service.audit_report import Report
    from service.settings import Settings

# Open requests, such as a wait for a job's end, are cut off after this; a waiting client asks again.
_API_STOPS_S = 3
_OPEN_FILES = 8_192


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="postlude", prog_name="postlude")
def postlude() -> None:
    """Postlude runs what happens after the response: webhooks, mail, pushes, imports, thumbnails, counters, audit logs.

    All settings are environment variables that begin with POSTLUDE_; docs/settings.md lists them.
    """


@postlude.command()
def dev() -> None:
    """Run everything on this machine, in the foreground.

    Starts Redis, applies the migrations, and runs a mail inbox, the API and one worker; restarts whatever dies. Keeps
    its data in POSTLUDE_DATA_DIR (./var). Ctrl-C or SIGTERM stops everything; a second one stops it at once.
    """
    with gc_put_off():
        from service.dev.start import run

    asyncio.run(run(_settings()))


@postlude.command()
def api() -> None:
    """Run the HTTP API on POSTLUDE_HOST and POSTLUDE_PORT.

    Other machines can reach it only when callers need a key: POSTLUDE_API_KEYS, `postlude keys`, `postlude users`.
    """
    with gc_put_off():
        import uvicorn

        from service import logs
        from service.preflight import check_api

        settings = _settings(warn=False)  # the app warns
        logs.configure(settings.log_level, settings.log_format)
        asyncio.run(check_api(settings))
        _allow_open_files()
        create_app = resolve_name("service.app:create_app")
    uvicorn.run(
        create_app,
        factory=True,
        host=settings.host,
        port=settings.port,
        http="service.web.one_write:Protocol",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_API_STOPS_S,
    )


@postlude.command()
@click.option("--burst", is_flag=True, help="Exit when nothing is due and nothing runs.")
@click.option("--check", is_flag=True, help="Report by the exit code whether a worker is alive.")
def worker(burst: bool, check: bool) -> None:
    """Run a worker; the same as `arq worker_settings.WorkerSettings`."""
    from arq.cli import cli as arq

    flags = [flag for flag, given in (("--burst", burst), ("--check", check)) if given]
    arq.main(args=["worker_settings.WorkerSettings", *flags], prog_name="arq")


@postlude.command()
def migrate() -> None:
    """Bring the database to the newest schema. Safe to repeat."""
    with gc_put_off():
        from service.features import FEATURES
        from service.ledger.migrate import upgrade
        from service.ledger_place import ledger_place
        from service.preflight import check_ledger_file

    settings = _settings()
    check_ledger_file(settings)
    asyncio.run(upgrade(settings, [feature.schema for feature in FEATURES]))
    click.echo(f"{ledger_place(settings)}: the schema is up to date")


@postlude.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def audit(as_json: bool) -> None:
    """Look for accepted jobs that nothing accounts for.

    What operators did is on the page "Audit" (GET /v1/audit); what applications recorded, in `postlude audit-log`.

    Reads the whole ledger and changes nothing; the service may keep running. Exit code 0: every job is accounted for.
    1: some are not; they are printed with the reason. 2: there is no ledger, or its database does not answer.
    """
    import json

    try:
        report = asyncio.run(_audited(_settings()))
    except (LedgerUnavailable, StartRefused) as error:
        click.echo(f"error: {_sentence(error)}", err=True)
        sys.exit(2)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else "\n".join(report.lines()))
    sys.exit(1 if report.total else 0)


@postlude.command()
def inbox() -> None:
    """Run the mail inbox for development: an SMTP server that keeps all mail in the data directory."""
    _serve("inbox")


@postlude.command(hidden=True)
@click.argument("name")
def serve(name: str) -> None:
    """Run the server of this name, which a feature offers for development."""
    _serve(name)


def _serve(name: str) -> None:
    with gc_put_off():
        from service.dev.servers import run

    asyncio.run(run(name, _settings()))


def _allow_open_files() -> None:
    """Raise this process's limit of open files: each connection takes one, and many systems start with 1,024."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if most == resource.RLIM_INFINITY else min(_OPEN_FILES, most)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


postlude.add_command(demo)
postlude.add_command(Featured("audit-log", "audit_log", "The audit log: verify, export, head, prune."))
postlude.add_command(imports)
postlude.add_command(jobs)
postlude.add_command(flows)
postlude.add_command(lanes)
postlude.add_command(operations)
postlude.add_command(outbox)
postlude.add_command(push)
postlude.add_command(schedules)
postlude.add_command(secrets)
postlude.add_command(keys)
postlude.add_command(users)
postlude.add_command(workers)


def main() -> None:
    """Run the command. An error that the user can fix is one sentence, without a traceback."""
    try:
        postlude(prog_name="postlude")
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        click.echo(f"error: {sentence}", err=True)
        sys.exit(1)


async def _audited(settings: "Settings") -> "Report":
    from service.audit_report import make_report
    from service.ledger.ledger import Ledger
    from service.ledger_place import refuse_missing_ledger

    refuse_missing_ledger(settings)
    async with Ledger.open(settings.sqlalchemy_url, retention=settings.retention) as ledger:
        return await make_report(ledger)


def _settings(*, warn: bool = True) -> "Settings":
    from service.settings import Settings, describe_unknown

    settings = Settings()
    for sentence in describe_unknown(os.environ) if warn else ():
        click.echo(f"warning: {sentence}", err=True)
    return settings


def _sentence(error: Exception) -> str | None:
    from pydantic import ValidationError

    from jobs import CatalogueError
    from service.ledger.outages import known_reason_of
    from service.settings import describe_invalid

    if isinstance(error, LedgerUnavailable):
        reason = str(error.__cause__ or error).partition("\n")[0]
        known = f" {hint}." if (hint := known_reason_of(error.__cause__)) else ""
        return f"the database does not answer ({reason}).{known} Check POSTLUDE_DATABASE_URL."
    if isinstance(error, PostludeError | CatalogueError):
        return str(error)
    if isinstance(error, ValidationError) and error.title == "Settings":
        return describe_invalid(error)
    return None


if __name__ == "__main__":
    main()
