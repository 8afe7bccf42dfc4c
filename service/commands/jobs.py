"""`postlude jobs`: list, show, cancel, replay, change, run-now and tail, over the HTTP API of a running service."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from service.commands import text
from service.commands.changing import change, run_now
from service.commands.job_options import BY_END, NARROW, filters
from service.commands.reaching import AS_JSON, Service, checked_name, each, given, paged, reached, reaching, show_list


@click.group()
@reaching
@click.pass_context
def jobs(context: click.Context, url: str, key: str | None) -> None:
    """List, show, cancel, replay, change and follow jobs of a running service.

    Exit code 0: done. 1: refused, failed, or no answer. 2: wrong usage.
    """
    context.obj = Service.at(url, key)


_IDS = click.argument("ids", nargs=-1, metavar="ID...")


def _asked_for(pages: Iterator[dict[str, Any]], limit: int | None) -> Iterator[dict[str, Any]]:
    """Yield the pages; for a full search only the first one, unless everything is asked for."""
    for page in pages:
        yield page
        if "searched" in page and limit is not None:
            return


def _paths(part: str, conditions: tuple[str, ...]) -> dict[str, str]:
    """Return the API's parameters for conditions `PATH=VALUE`."""
    wanted: dict[str, str] = {}
    for condition in conditions:
        path, equals, value = condition.partition("=")
        if not path or not equals:
            raise click.UsageError(f"{condition!r} is not PATH=VALUE.")
        if f"{part}.{path}" in wanted:
            raise click.UsageError(f"{path!r} is given twice.")
        wanted[f"{part}.{path}"] = value
    return wanted


@jobs.command("list")
@filters(*NARROW, "flow", *BY_END, "order")
@click.option("--arg", "args", multiple=True, metavar="PATH=VALUE", help="In the args, e.g. user.id=42.")
@click.option("--metadata", multiple=True, metavar="PATH=VALUE", help="In the metadata, e.g. tenant=acme.")
@click.option("--text", "q", help="In the args, the metadata or the error, in upper or lower case.")
@paged
@AS_JSON
@click.pass_obj
def list_jobs(
    to: Service,
    /,
    args: tuple[str, ...],
    metadata: tuple[str, ...],
    limit: int | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """List jobs, newest first by default."""
    wanted = given(chosen) | _paths("args", args) | _paths("metadata", metadata)
    with reached(to) as remote:
        pages = _asked_for(remote.pages(wanted, limit), limit)
        if not show_list("jobs", pages, text.table, limit, as_json=as_json):
            for kind in remote.unknown_of(wanted.get("kind", ())):
                click.echo(f"there is no kind {text.one_line(kind)!r}", err=True)


@jobs.command()
@_IDS
@AS_JSON
@click.pass_obj
def show(to: Service, /, ids: tuple[str, ...], as_json: bool) -> None:
    """Show everything known about a job: its args, its result, and every attempt with its traceback."""

    def tell(job: text.Job) -> str:
        return text.as_json(job) if as_json else "\n".join([*text.details(job), ""])

    with reached(to) as remote:
        each("job", ids, remote.get, tell)


@jobs.command()
@_IDS
@AS_JSON
@click.pass_obj
def cancel(to: Service, /, ids: tuple[str, ...], as_json: bool) -> None:
    """Cancel jobs. A running one is interrupted."""
    with reached(to) as remote:
        each("job", ids, remote.cancel, lambda job: text.state_of(job, as_json))


@jobs.command()
@_IDS
@filters(*NARROW, *BY_END)
@click.option("--dry-run", is_flag=True, help="With a filter: only print how many would be replayed.")
@AS_JSON
@click.pass_obj
def replay(to: Service, /, ids: tuple[str, ...], dry_run: bool, as_json: bool, **chosen: Any) -> None:
    """Run failed or cancelled jobs again: the jobs with the given ids, or all that match the options."""
    filters = given(chosen)
    if not ids and not filters:
        raise click.UsageError("Name jobs by id, or select them by options such as --kind and --state.")
    if ids and filters:
        raise click.UsageError("Name jobs by id or select them by options such as --kind and --state, not both.")
    if ids and dry_run:
        raise click.UsageError("--dry-run works only with jobs selected by options.")
    with reached(to) as remote:
        if ids:
            each("job", ids, remote.replay, lambda job: text.state_of(job, as_json))
            return
        for done in remote.replay_matching(filters, dry_run=dry_run):
            words = "would be replayed" if dry_run else "replayed"
            skipped = "".join(f", {count} skipped ({text.one_line(why)})" for why, count in done["skipped"].items())
            click.echo(
                text.as_json(done) if as_json else f"{done['matched']} matched, {done['replayed']} {words}{skipped}"
            )


@jobs.command()
@click.argument("job_id", required=False, metavar="[ID]")
@filters(*NARROW)
@AS_JSON
@click.pass_obj
def tail(to: Service, /, job_id: str | None, as_json: bool, **chosen: Any) -> None:
    """Follow one job until it ends or, without an id, every new job. Ctrl-C stops it.

    The exit code is 1 if the job failed or was cancelled.
    """
    from service.commands.tail import follow_new, follow_one

    filters = given(chosen)
    if job_id and filters:
        raise click.UsageError("Options select among new jobs, an id names one job. Give one or the other.")
    with reached(to) as remote:
        if job_id is None:
            for job in follow_new(remote, filters):
                click.echo(text.as_json(job) if as_json else next(text.table([job], heading=False, width=None)))
            return
        state = ""
        for name, data in follow_one(
            remote, checked_name("job", job_id), lambda error: click.echo(f"{error} Trying again.", err=True)
        ):
            click.echo(text.as_json({"event": name, **data}) if as_json else text.event(name, data))
            state = data.get("state", state)
    sys.exit(0 if state in ("succeeded", "") else 1)


jobs.add_command(change)
jobs.add_command(run_now)
