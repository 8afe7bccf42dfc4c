"""`postlude operations`: start, list, show and stop, over the HTTP API of a running service."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from service.commands import operation_text, text
from service.commands.job_options import BY_END, NARROW, filters
from service.commands.reaching import AS_JSON, Json, Service, each, given, paged, reached, reaching, show_list, width

if TYPE_CHECKING:
    from service.commands.remote import Remote

_ACTIONS = ("replay", "cancel", "delete", "run_now", "change")
_LOOK_EVERY_S = 0.5
_RATE = click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most this many members a second.")
_IDS = click.argument("ids", nargs=-1, metavar="ID...")


@click.group()
@reaching
@click.pass_context
def operations(context: click.Context, url: str, key: str | None) -> None:
    """Act on all jobs that match the options; watch the operation, and stop it.

    Exit code 0: done. 1: refused, failed, or no answer. 2: wrong usage.
    """
    context.obj = Service.at(url, key)


@operations.command()
@click.argument("action", type=click.Choice(_ACTIONS))
@filters(*NARROW, "flow", *BY_END)
@click.option("--id", "ids", multiple=True, metavar="ID", help="This job. May be repeated.")
@click.option("--change", type=Json(), metavar="JSON", help="What `change` sets, e.g. '{\"priority\": 5}'.")
@_RATE
@click.option("--name", help="A name to recognise it by.")
@click.option("--dry-run", is_flag=True, help="Change nothing, only count what would change.")
@click.option("--no-wait", is_flag=True, help="Do not follow it to its end.")
@AS_JSON
@click.pass_obj
def start(
    to: Service, /, action: str, change: Any, rate: float | None, name: str | None, dry_run: bool, no_wait: bool,
    as_json: bool, **chosen: Any,
) -> None:  # fmt: skip
    """Replay, cancel, delete, run now or change all jobs that match the options.

    Ctrl-C leaves the operation running; `stop` ends it. The exit code is 1 if it was stopped, or failed on a
    member.
    """
    wanted = given(chosen)
    if not wanted:
        raise click.UsageError("Select jobs by options such as --kind and --state.")
    if action == "change" and change is None:
        raise click.UsageError("Say with --change what `change` sets, e.g. --change '{\"priority\": 5}'.")
    if action != "change" and change is not None:
        raise click.UsageError("--change goes with the action `change` only.")
    body = {"action": action, "filter": wanted, "dry_run": dry_run}
    body |= given({"change": change, "rate": rate, "name": name})
    with reached(to) as remote:
        operation = remote.start_operation(body)
        if not no_wait:
            operation = _followed(remote, operation)
        click.echo(text.as_json(operation) if as_json else "\n".join(operation_text.details(operation)))
    if not no_wait and (operation["state"] != "succeeded" or operation["failed"]):
        sys.exit(1)


@operations.command("list")
@paged
@AS_JSON
@click.pass_obj
def list_operations(to: Service, /, limit: int | None, as_json: bool) -> None:
    """List operations, newest first."""
    with reached(to) as remote:
        show_list("operations", remote.operations(limit), operation_text.table, limit, as_json=as_json)


@operations.command()
@_IDS
@AS_JSON
@click.pass_obj
def show(to: Service, /, ids: tuple[str, ...], as_json: bool) -> None:
    """Show the progress of an operation, and the first members that it failed on."""

    def tell(operation: operation_text.Operation) -> str:
        return text.as_json(operation) if as_json else "\n".join([*operation_text.details(operation), ""])

    with reached(to) as remote:
        each("operation", ids, remote.operation, tell)


@operations.command()
@_IDS
@_RATE
@AS_JSON
@click.pass_obj
def pace(to: Service, /, ids: tuple[str, ...], rate: float | None, as_json: bool) -> None:
    """Change the rate of operations from now on; without --rate they go as fast as possible."""
    with reached(to) as remote:
        each("operation", ids, lambda one: remote.set_rate(one, rate), lambda one: _line(one, as_json))


@operations.command()
@_IDS
@AS_JSON
@click.pass_obj
def stop(to: Service, /, ids: tuple[str, ...], as_json: bool) -> None:
    """Stop operations: no further job is acted on, and what was done stays done."""

    with reached(to) as remote:
        each("operation", ids, remote.stop_operation, lambda one: _line(one, as_json))


def _line(operation: operation_text.Operation, as_json: bool) -> str:
    if as_json:
        return text.as_json(operation)
    return text.one_line(f"{operation['id']}  {operation['state']}  {operation_text.progress(operation)}")


def _followed(remote: Remote, operation: operation_text.Operation) -> operation_text.Operation:
    """Follow an operation to its end, with a line of progress if the output is a terminal."""
    told = ""
    while operation["state"] not in operation_text.ENDED:
        time.sleep(_LOOK_EVERY_S)
        operation = remote.operation(operation["id"])
        if width() is not None and (now := f"{operation['state']}: {operation_text.progress(operation)}") != told:
            click.echo(f"\r\033[K{text.one_line(now)}", err=True, nl=False)
            told = now
    if told:
        click.echo("\r\033[K", err=True, nl=False)
    return operation
