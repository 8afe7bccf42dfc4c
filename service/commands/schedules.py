"""`postlude schedules`: list, show, set, delete, pause, resume, run, next and history, over the HTTP API."""

from __future__ import annotations

from typing import Any

import click

from service.commands import schedule_text, text
from service.commands.reaching import (
    AS_JSON,
    Json,
    Service,
    checked_name,
    each,
    given,
    paged,
    reached,
    reaching,
    show_list,
)

_NAMES = click.argument("names", nargs=-1, metavar="NAME...")
_NAME = click.argument("name", metavar="NAME")


@click.group()
@reaching
@click.pass_context
def schedules(context: click.Context, url: str, key: str | None) -> None:
    """List, show, make, pause and run the schedules of a running service.

    A kind's own schedule has the kind's name; it can be paused, resumed and run here.

    Exit code 0: done. 1: refused, failed, or no answer. 2: wrong usage.
    """
    context.obj = Service.at(url, key)


@schedules.command("list")
@paged
@AS_JSON
@click.pass_obj
def list_schedules(to: Service, /, limit: int | None, as_json: bool) -> None:
    """List the schedules by name, with their next and their last tick."""
    with reached(to) as remote:
        show_list("schedules", remote.schedules(limit), schedule_text.table, limit, as_json=as_json)


@schedules.command()
@_NAMES
@AS_JSON
@click.pass_obj
def show(to: Service, /, names: tuple[str, ...], as_json: bool) -> None:
    """Show everything known about schedules."""

    def tell(one: dict[str, Any]) -> str:
        return text.as_json(one) if as_json else "\n".join([*schedule_text.details(one), ""])

    with reached(to) as remote:
        each("schedule", names, remote.schedule, tell)


@schedules.command("set")
@_NAME
@click.option("--kind", required=True, help="What to enqueue.")
@click.option("--cron", required=True, help="When: '0 2 * * *', or @daily.")
@click.option("--args", "args", type=Json(), metavar="JSON", help="The kind's args.")
@click.option("--time-zone", help="For example Europe/Berlin.  [default: UTC]")
@click.option("--catch-up", type=click.Choice(["none", "last", "all"]), help="Which missed ticks become jobs.")
@click.option(
    "--overlap", type=click.Choice(["allow", "skip", "replace"]), help="What to do if the previous job has not ended."
)
@click.option(
    "--jitter", type=click.FloatRange(min=0), metavar="SECONDS", help="Spread the jobs over this many seconds."
)
@click.option("--start", metavar="TIME", help="No tick before this time, e.g. 2026-01-31T12:00:00Z.")
@click.option("--end", metavar="TIME", help="No tick after this time.")
@click.option("--options", type=Json(), metavar="JSON", help="Options of its jobs, as in the API.")
@AS_JSON
@click.pass_obj
def set_schedule(to: Service, /, name: str, as_json: bool, **wanted: Any) -> None:
    """Create or change a schedule. Options left out get their defaults, even in a change."""
    with reached(to) as remote:
        each("schedule", (name,), lambda one: remote.set_schedule(one, given(wanted)), lambda one: _line(one, as_json))


@schedules.command()
@_NAMES
@click.pass_obj
def delete(to: Service, /, names: tuple[str, ...]) -> None:
    """Delete schedules. Their jobs and the history of their ticks stay."""
    with reached(to) as remote:
        each("schedule", names, remote.delete_schedule, lambda one: f"{text.one_line(one['name'])}  deleted")


@schedules.command()
@_NAMES
@click.option("--reason", help="Why, for anyone who looks at it later.")
@AS_JSON
@click.pass_obj
def pause(to: Service, /, names: tuple[str, ...], reason: str | None, as_json: bool) -> None:
    """Fire no ticks of these schedules until they are resumed."""
    with reached(to) as remote:
        each("schedule", names, lambda one: remote.pause_schedule(one, reason), lambda one: _line(one, as_json))


@schedules.command()
@_NAMES
@AS_JSON
@click.pass_obj
def resume(to: Service, /, names: tuple[str, ...], as_json: bool) -> None:
    """Fire the ticks of these schedules from now on."""
    with reached(to) as remote:
        each("schedule", names, lambda one: remote.act_on_schedule(one, "resume"), lambda one: _line(one, as_json))


@schedules.command()
@_NAMES
@AS_JSON
@click.pass_obj
def run(to: Service, /, names: tuple[str, ...], as_json: bool) -> None:
    """Enqueue the jobs of these schedules now, out of turn."""

    def tell(one: dict[str, Any]) -> str:
        return text.as_json(one) if as_json else text.one_line(f"{one['name']}  enqueued {one['last']['job_id']}")

    with reached(to) as remote:
        each("schedule", names, lambda one: remote.act_on_schedule(one, "run"), tell)


@schedules.command("next")
@_NAME
@click.option("--count", type=click.IntRange(1, 100), default=10, show_default=True)
@click.pass_obj
def next_ticks(to: Service, /, name: str, count: int) -> None:
    """Print when a schedule is due next, in UTC."""
    with reached(to) as remote:
        for moment in remote.next_ticks(checked_name("schedule", name), count):
            click.echo(text.moment(moment))


@schedules.command()
@_NAME
@paged
@AS_JSON
@click.pass_obj
def history(to: Service, /, name: str, limit: int | None, as_json: bool) -> None:
    """List what became of a schedule's ticks, latest first."""
    with reached(to) as remote:
        show_list(
            "ticks", remote.ticks(checked_name("schedule", name), limit), schedule_text.ticks, limit, as_json=as_json
        )


def _line(one: dict[str, Any], as_json: bool) -> str:
    if as_json:
        return text.as_json(one)
    shown = (one["name"], f"{one['cron']} ({one['time_zone']})", schedule_text.state(one))
    return text.one_line("  ".join(shown))
