"""`postlude jobs`: list, show, cancel, replay and tail, over the HTTP API of a running service."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from service.commands import text

if TYPE_CHECKING:
    from service.commands.remote import Remote

F = TypeVar("F", bound=Callable[..., Any])

_STATES = ("scheduled", "queued", "running", "retrying", "succeeded", "failed", "cancelled")


@click.group()
@click.option("--url", envvar="POSTLUDE_URL", default="http://127.0.0.1:8000", show_default=True, help="POSTLUDE_URL")
@click.option(
    "--key", envvar="POSTLUDE_API_KEY", help="POSTLUDE_API_KEY, which other users of this machine cannot see."
)
@click.pass_context
def jobs(context: click.Context, url: str, key: str | None) -> None:
    """List, show, cancel, replay and follow jobs of a running service.

    Exit code 0: done. 1: refused, failed, or nobody answers. 2: not understood.
    """
    url, key = url.strip(), (key or "").strip()
    if not _names_a_server(url):
        raise click.BadParameter(
            f"{text.one_line(url)} does not begin with http:// or https:// and a host", param_hint="--url"
        )
    if not (key.isascii() and key.isprintable()):
        raise click.BadParameter("a key has printable ASCII characters only", param_hint="--key")
    context.obj = (url, key or None)


def _names_a_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _filters(*names: str) -> Callable[[F], F]:
    """Add options that narrow down which jobs are meant; each is a parameter of the API of the same name."""
    several = "May be given several times."
    options = {
        "state": click.option("--state", multiple=True, type=click.Choice(_STATES), help=several),
        "kind": click.option("--kind", multiple=True, help=several),
        "queue": click.option("--queue", multiple=True, help=several),
        "tag": click.option("--tag"),
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


_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API has it.")
_NARROW = ("state", "kind", "queue", "tag", "error_type", "created_after", "created_before")
_BY_END = ("finished_after", "finished_before")
_IDS = click.argument("ids", nargs=-1, metavar="ID...")


@jobs.command("list")
@_filters(*_NARROW, *_BY_END, "order")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@_AS_JSON
@click.pass_obj
def list_jobs(to: tuple[str, str | None], /, limit: int, everything: bool, as_json: bool, **chosen: Any) -> None:
    """List jobs, newest first unless told otherwise."""
    with _remote(to) as remote:
        pages = remote.pages(_given(chosen), None if everything else limit)
        if as_json:
            read = list(pages)
            found = [job for page in read for job in page["jobs"]]
            click.echo(text.as_json({"jobs": found, "next_cursor": read[-1]["next_cursor"]}, indent=2))
            return
        for number, page in enumerate(pages):
            if not number and not page["jobs"]:
                click.echo("no jobs", err=True)
                return
            for line in text.table(page["jobs"], heading=not number, width=_width()):
                click.echo(line)
        if page["next_cursor"] and not everything:
            click.echo(f"there are more than {limit}: --limit or --all shows them", err=True)


@jobs.command()
@_IDS
@_AS_JSON
@click.pass_obj
def show(to: tuple[str, str | None], /, ids: tuple[str, ...], as_json: bool) -> None:
    """Show all that is known of a job: its args, its result, and every attempt with its traceback."""

    def tell(job: text.Job) -> str:
        return text.as_json(job) if as_json else "\n".join([*text.details(job), ""])

    with _remote(to) as remote:
        _each(ids, remote.get, tell)


@jobs.command()
@_IDS
@_AS_JSON
@click.pass_obj
def cancel(to: tuple[str, str | None], /, ids: tuple[str, ...], as_json: bool) -> None:
    """Cancel jobs. A running one is interrupted."""
    with _remote(to) as remote:
        _each(ids, remote.cancel, lambda job: _state_of(job, as_json))


@jobs.command()
@_IDS
@_filters(*_NARROW, *_BY_END)
@click.option("--dry-run", is_flag=True, help="With a filter: only tell how many would be replayed.")
@_AS_JSON
@click.pass_obj
def replay(to: tuple[str, str | None], /, ids: tuple[str, ...], dry_run: bool, as_json: bool, **chosen: Any) -> None:
    """Run failed or cancelled jobs again: the ones named by id, or all that match the options."""
    given = _given(chosen)
    if bool(ids) == bool(given):
        raise click.UsageError("Name jobs by id, or by options such as --kind and --state; not by both.")
    if ids and dry_run:
        raise click.UsageError("--dry-run is for jobs that options choose.")
    with _remote(to) as remote:
        if ids:
            _each(ids, remote.replay, lambda job: _state_of(job, as_json))
            return
        for done in remote.replay_matching(given, dry_run=dry_run):
            words = "would be replayed" if dry_run else "replayed"
            skipped = "".join(f", {count} skipped ({text.one_line(why)})" for why, count in done["skipped"].items())
            click.echo(
                text.as_json(done) if as_json else f"{done['matched']} matched, {done['replayed']} {words}{skipped}"
            )


@jobs.command()
@click.argument("job_id", required=False, metavar="[ID]")
@_filters(*_NARROW)
@_AS_JSON
@click.pass_obj
def tail(to: tuple[str, str | None], /, job_id: str | None, as_json: bool, **chosen: Any) -> None:
    """Follow one job until it ends or, without an id, every new job. Ctrl-C ends it.

    The exit code is 1 when the job has ended failed or cancelled.
    """
    from service.commands.tail import follow_new, follow_one

    given = _given(chosen)
    if job_id and given:
        raise click.UsageError("Options choose among new jobs; an id names one. Give one of the two.")
    with _remote(to) as remote:
        if job_id is None:
            for job in follow_new(remote, given):
                click.echo(text.as_json(job) if as_json else next(text.table([job], heading=False, width=None)))
            return
        state = ""
        for name, data in follow_one(
            remote, _checked(job_id), lambda error: click.echo(f"{error} Trying again.", err=True)
        ):
            click.echo(text.as_json({"event": name, **data}) if as_json else text.event(name, data))
            state = data.get("state", state)
    sys.exit(0 if state in ("succeeded", "") else 1)


def _each(ids: tuple[str, ...], do: Callable[[str], text.Job], tell: Callable[[text.Job], str]) -> None:
    """Do the same to each job; the refusal of one does not stop the others."""
    from service.commands.remote import Refusal, Unreachable

    if not ids:
        raise click.UsageError("Name at least one job by its id.")
    refused = 0
    for job_id in map(_checked, dict.fromkeys(ids)):
        try:
            click.echo(tell(do(job_id)))
        except Unreachable:
            raise
        except Refusal as error:
            refused += 1
            click.echo(f"error: {text.one_line(job_id)}: {error}", err=True)
    if refused:
        sys.exit(1)


def _checked(job_id: str) -> str:
    if job_id.strip(".") == "":
        raise click.UsageError(f"{job_id!r} is not the id of a job.")
    return job_id


def _state_of(job: text.Job, as_json: bool) -> str:
    return text.as_json(job) if as_json else text.one_line(f"{job['id']}  {job['state']}")


def _given(chosen: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in chosen.items() if value not in (None, ())}


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


@contextmanager
def _remote(to: tuple[str, str | None]) -> Iterator[Remote]:
    """Open the service. A refusal ends the command with a sentence."""
    from service.commands.remote import Refusal, Remote

    try:
        with Remote(*to) as remote:
            yield remote
    except Refusal as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
