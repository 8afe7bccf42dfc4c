"""`postlude jobs`: list, show, cancel, replay and tail, over the HTTP API of a running service."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from service.commands import text
from service.commands.reaching import AS_JSON, Service, checked_name, each, given, reached, reaching, width

F = TypeVar("F", bound=Callable[..., Any])

_STATES = ("scheduled", "queued", "running", "retrying", "succeeded", "failed", "cancelled")


@click.group()
@reaching
@click.pass_context
def jobs(context: click.Context, url: str, key: str | None) -> None:
    """List, show, cancel, replay and follow jobs of a running service.

    Exit code 0: done. 1: refused, failed, or nobody answers. 2: not understood.
    """
    context.obj = Service.at(url, key)


def _filters(*names: str) -> Callable[[F], F]:
    """Add options that narrow down which jobs are meant; each is a parameter of the API of the same name."""
    several = "May be given several times."
    options = {
        "state": click.option("--state", multiple=True, type=click.Choice(_STATES), help=several),
        "kind": click.option("--kind", multiple=True, help=several),
        "queue": click.option("--queue", multiple=True, help=several),
        "tag": click.option("--tag"),
        "lane": click.option("--lane", help="Named by the request, or of the destination."),
        "error_type": click.option(
            "--error-type", multiple=True, help=f"Of the latest attempt, e.g. TimeoutError. {several}"
        ),
        "created_after": click.option("--created-after", metavar="TIME", help="RFC 3339, e.g. 2026-01-31T09:00:00Z."),
        "created_before": click.option("--created-before", metavar="TIME"),
        "finished_after": click.option("--finished-after", metavar="TIME"),
        "finished_before": click.option("--finished-before", metavar="TIME"),
        "order": click.option("--order", type=click.Choice(["desc", "asc"]), help="asc: oldest first."),
    }

    def add(function: F) -> F:
        for name in reversed(names):
            function = options[name](function)
        return function

    return add


_NARROW = ("state", "kind", "queue", "tag", "lane", "error_type", "created_after", "created_before")
_BY_END = ("finished_after", "finished_before")
_IDS = click.argument("ids", nargs=-1, metavar="ID...")


@jobs.command("list")
@_filters(*_NARROW, *_BY_END, "order")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@AS_JSON
@click.pass_obj
def list_jobs(to: Service, /, limit: int, everything: bool, as_json: bool, **chosen: Any) -> None:
    """List jobs, newest first unless told otherwise."""
    with reached(to) as remote:
        pages = remote.pages(given(chosen), None if everything else limit)
        if as_json:
            read = list(pages)
            found = [job for page in read for job in page["jobs"]]
            click.echo(text.as_json({"jobs": found, "next_cursor": read[-1]["next_cursor"]}, indent=2))
            return
        for number, page in enumerate(pages):
            if not number and not page["jobs"]:
                click.echo("no jobs", err=True)
                return
            for line in text.table(page["jobs"], heading=not number, width=width()):
                click.echo(line)
        if page["next_cursor"] and not everything:
            click.echo(f"there are more than {limit}: --limit or --all shows them", err=True)


@jobs.command()
@_IDS
@AS_JSON
@click.pass_obj
def show(to: Service, /, ids: tuple[str, ...], as_json: bool) -> None:
    """Show all that is known of a job: its args, its result, and every attempt with its traceback."""

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
        each("job", ids, remote.cancel, lambda job: _state_of(job, as_json))


@jobs.command()
@_IDS
@_filters(*_NARROW, *_BY_END)
@click.option("--dry-run", is_flag=True, help="With a filter: only tell how many would be replayed.")
@AS_JSON
@click.pass_obj
def replay(to: Service, /, ids: tuple[str, ...], dry_run: bool, as_json: bool, **chosen: Any) -> None:
    """Run failed or cancelled jobs again: the ones named by id, or all that match the options."""
    filters = given(chosen)
    if bool(ids) == bool(filters):
        raise click.UsageError("Name jobs by id, or by options such as --kind and --state; not by both.")
    if ids and dry_run:
        raise click.UsageError("--dry-run is for jobs that options choose.")
    with reached(to) as remote:
        if ids:
            each("job", ids, remote.replay, lambda job: _state_of(job, as_json))
            return
        for done in remote.replay_matching(filters, dry_run=dry_run):
            words = "would be replayed" if dry_run else "replayed"
            skipped = "".join(f", {count} skipped ({text.one_line(why)})" for why, count in done["skipped"].items())
            click.echo(
                text.as_json(done) if as_json else f"{done['matched']} matched, {done['replayed']} {words}{skipped}"
            )


@jobs.command()
@click.argument("job_id", required=False, metavar="[ID]")
@_filters(*_NARROW)
@AS_JSON
@click.pass_obj
def tail(to: Service, /, job_id: str | None, as_json: bool, **chosen: Any) -> None:
    """Follow one job until it ends or, without an id, every new job. Ctrl-C ends it.

    The exit code is 1 when the job has ended failed or cancelled.
    """
    from service.commands.tail import follow_new, follow_one

    filters = given(chosen)
    if job_id and filters:
        raise click.UsageError("Options choose among new jobs; an id names one. Give one of the two.")
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


def _state_of(job: text.Job, as_json: bool) -> str:
    return text.as_json(job) if as_json else text.one_line(f"{job['id']}  {job['state']}")
