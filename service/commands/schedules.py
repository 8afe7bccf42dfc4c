"""`postlude schedules`: list, show, set, delete, pause, resume, run, next and history, over the HTTP API."""

from __future__ import annotations

import json
from typing import Any

import click

from service.commands import schedule_text, text
from service.commands.reaching import AS_JSON, Service, checked_name, each, given, reached, reaching, width

_NAMES = click.argument("names", nargs=-1, metavar="NAME...")
_NAME = click.argument("name", metavar="NAME")
_LIMIT = click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")


class _Json(click.ParamType[Any]):
    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            self.fail(f"{text.one_line(value)} is not JSON", param, ctx)


@click.group()
@reaching
@click.pass_context
def schedules(context: click.Context, url: str, key: str | None) -> None:
    """List, show, make, pause and run the schedules of a running service.

    A kind's own schedule has the kind's name; it can be paused, resumed and run here.

    Exit code 0: done. 1: refused, failed, or nobody answers. 2: not understood.
    """
    context.obj = Service.at(url, key)


@schedules.command("list")
@_LIMIT
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@AS_JSON
@click.pass_obj
def list_schedules(to: Service, /, limit: int, everything: bool, as_json: bool) -> None:
    """List the schedules by name, with their next and their last tick."""
    with reached(to) as remote:
        pages = list(remote.schedules(None if everything else limit))
    found = [one for page in pages for one in page["schedules"]]
    if as_json:
        click.echo(text.as_json({"schedules": found, "next_cursor": pages[-1]["next_cursor"]}, indent=2))
        return
    if not found:
        click.echo("no schedules", err=True)
        return
    for line in schedule_text.table(found, heading=True, width=width()):
        click.echo(line)
    if pages[-1]["next_cursor"] and not everything:
        click.echo(f"there are more than {limit}: --limit or --all shows them", err=True)


@schedules.command()
@_NAMES
@AS_JSON
@click.pass_obj
def show(to: Service, /, names: tuple[str, ...], as_json: bool) -> None:
    """Show all that is known of schedules."""

    def tell(one: dict[str, Any]) -> str:
        return text.as_json(one) if as_json else "\n".join([*schedule_text.details(one), ""])

    with reached(to) as remote:
        each("schedule", names, remote.schedule, tell)


@schedules.command("set")
@_NAME
@click.option("--kind", required=True, help="What to enqueue.")
@click.option("--cron", required=True, help="When: '0 2 * * *', or @daily.")
@click.option("--args", "args", type=_Json(), metavar="JSON", help="The kind's args.")
@click.option("--time-zone", help="Such as Europe/Berlin.  [default: UTC]")
@click.option("--catch-up", type=click.Choice(["none", "last", "all"]), help="Which missed ticks become jobs.")
@click.option("--overlap", type=click.Choice(["allow", "skip", "replace"]), help="If the job before has not ended.")
@click.option("--jitter", type=click.FloatRange(min=0), metavar="SECONDS", help="Spread the jobs over so long.")
@click.option("--start", metavar="TIME", help="No tick before, as 2026-01-31T12:00:00Z.")
@click.option("--end", metavar="TIME", help="No tick afterwards.")
@click.option("--options", type=_Json(), metavar="JSON", help="Options of its jobs, as the API has them.")
@AS_JSON
@click.pass_obj
def set_schedule(to: Service, /, name: str, as_json: bool, **wanted: Any) -> None:
    """Make a schedule or change it. What is left out has its default, also in a change."""
    with reached(to) as remote:
        each("schedule", (name,), lambda one: remote.set_schedule(one, given(wanted)), lambda one: _line(one, as_json))


@schedules.command()
@_NAMES
@click.pass_obj
def delete(to: Service, /, names: tuple[str, ...]) -> None:
    """Delete schedules. Their jobs stay, and the history of their ticks."""
    with reached(to) as remote:
        each("schedule", names, remote.delete_schedule, lambda one: f"{text.one_line(one['name'])}  deleted")


@schedules.command()
@_NAMES
@AS_JSON
@click.pass_obj
def pause(to: Service, /, names: tuple[str, ...], as_json: bool) -> None:
    """Fire no ticks of these schedules until they are resumed."""
    with reached(to) as remote:
        each("schedule", names, lambda one: remote.act_on_schedule(one, "pause"), lambda one: _line(one, as_json))


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
    """Tell when a schedule comes due next, in UTC."""
    with reached(to) as remote:
        for moment in remote.next_ticks(checked_name("schedule", name), count):
            click.echo(text.moment(moment))


@schedules.command()
@_NAME
@_LIMIT
@AS_JSON
@click.pass_obj
def history(to: Service, /, name: str, limit: int, as_json: bool) -> None:
    """List what became of a schedule's ticks, the latest first."""
    with reached(to) as remote:
        found = [one for page in remote.ticks(checked_name("schedule", name), limit) for one in page["ticks"]]
    if as_json:
        click.echo(text.as_json({"ticks": found}, indent=2))
        return
    for line in schedule_text.ticks(found, heading=bool(found), width=width()):
        click.echo(line)


def _line(one: dict[str, Any], as_json: bool) -> str:
    if as_json:
        return text.as_json(one)
    shown = (one["name"], f"{one['cron']} ({one['time_zone']})", schedule_text.state(one))
    return text.one_line("  ".join(shown))
