"""`postlude lanes`: list, show, set, delete, pause, resume and breaker, over the HTTP API of a running service."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from service.commands import lane_text, text
from service.commands.reaching import AS_JSON, Service, each, given, paged, reached, reaching, show_list
from service.own_command import own_command

if TYPE_CHECKING:
    from service.commands.remote import Remote

_UNITS = {"s": 1, "min": 60, "h": 3600}
_KEYS = click.argument("keys", nargs=-1, metavar="KEY...")


class _Rate(click.ParamType[dict[str, Any]]):
    """`50/1`: 50 in 1 s; also `50/s`, `50/min`, `50/h`."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        found = re.fullmatch(r"(\d+)/(?:(\d+(?:\.\d+)?)|(s|min|h))", value)
        if found is None:
            self.fail(
                f"{text.one_line(value)} is not a rate, such as 50/s, 600/min or 10/2.5 (10 in 2.5 s)", param, ctx
            )
        limit, seconds, unit = found.groups()
        return {"limit": int(limit), "per": _UNITS[unit] if unit else float(seconds)}


@click.group()
@reaching
@click.pass_context
def lanes(context: click.Context, url: str, key: str | None) -> None:
    """List, show, limit, pause and resume the lanes of a running service.

    KEY is a lane, such as tenant:42, or a pattern in which * stands for any text: 'tenant:*' (in quotes, or the shell
    expands it). kind:NAME and queue:NAME can be paused and resumed, too.

    Exit code 0: done. 1: refused, failed, or no answer. 2: wrong usage.
    """
    context.obj = Service.at(url, key)


@lanes.command("list")
@click.option("--key", "prefix", help="Lanes and patterns that begin with this.")
@paged
@AS_JSON
@click.pass_obj
def list_lanes(to: Service, /, prefix: str | None, limit: int | None, as_json: bool) -> None:
    """List the lanes with limits, a pause, or jobs that wait or run, ordered by key."""
    with reached(to) as remote:
        show_list("lanes", remote.lanes(given({"key": prefix}), limit), lane_text.table, limit, as_json=as_json)


@lanes.command()
@_KEYS
@AS_JSON
@click.pass_obj
def show(to: Service, /, keys: tuple[str, ...], as_json: bool) -> None:
    """Show the limits of a lane that apply now, what waits and runs in it, and its breaker."""

    def tell(lane: lane_text.Lane) -> str:
        return text.as_json(lane) if as_json else "\n".join([*lane_text.details(lane), ""])

    with reached(to) as remote:
        each("lane", keys, remote.lane, tell)


@lanes.command("set")
@click.argument("key", metavar="KEY")
@click.option("--concurrency", type=click.IntRange(min=1), help="How many of its jobs run at once.")
@click.option("--rate", type=_Rate(), metavar="N/PER", help="How many start per period: 50/s, 600/min, 10/2.5.")
@click.option("--strict", is_flag=True, help="One at a time, in the order of enqueueing.")
@AS_JSON
@click.pass_obj
def set_lane(
    to: Service, /, key: str, concurrency: int | None, rate: dict[str, Any] | None, strict: bool, as_json: bool
) -> None:
    """Set the limits of a lane, or of all that a pattern matches. A limit that is left out is removed."""
    wanted = given({"concurrency": concurrency, "rate": rate, "order": "strict" if strict else None})
    if not wanted:
        raise click.UsageError("Give --concurrency, --rate or --strict. `postlude lanes delete` removes limits.")
    with _changing(to) as remote:
        each("lane", (key,), lambda one: remote.set_lane(one, wanted), lambda lane: _line(lane, as_json))


@lanes.command()
@_KEYS
@click.pass_obj
def delete(to: Service, /, keys: tuple[str, ...]) -> None:
    """Delete what was set for lanes or patterns: limits, a pause, a forced breaker. Their jobs stay."""
    with reached(to) as remote:
        each("lane", keys, remote.delete_lane, lambda lane: f"{text.one_line(lane['key'])}  deleted")


@lanes.command()
@_KEYS
@click.option(
    "--for", "for_s", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Default: until resumed."
)
@AS_JSON
@click.pass_obj
def pause(to: Service, /, keys: tuple[str, ...], for_s: float | None, as_json: bool) -> None:
    """Start no jobs of these lanes. Running jobs go on, waiting jobs stay queued."""
    with _changing(to) as remote:
        each("lane", keys, lambda one: remote.pause(one, for_s), lambda lane: _line(lane, as_json))


@lanes.command()
@_KEYS
@AS_JSON
@click.pass_obj
def resume(to: Service, /, keys: tuple[str, ...], as_json: bool) -> None:
    """End the pause of lanes. A breaker that was forced open stays so: `breaker KEY auto` lets it decide again."""

    def tell(lane: lane_text.Lane) -> str:
        if (lane.get("breaker") or {}).get("forced") == "open":
            key = text.one_line(shlex.quote(lane["key"]))
            click.echo(f"its breaker still holds it: `{own_command()} lanes breaker {key} auto` lets it go", err=True)
        return _line(lane, as_json)

    with _changing(to) as remote:
        each("lane", keys, remote.resume, tell)


@lanes.command()
@click.argument("key", metavar="KEY")
@click.argument("state", type=click.Choice(["open", "closed", "auto"]))
@AS_JSON
@click.pass_obj
def breaker(to: Service, /, key: str, state: str, as_json: bool) -> None:
    """Force a lane's breaker: open starts nothing, closed ignores failures, auto lets it decide again."""
    with _changing(to) as remote:
        wanted = {"breaker": {"state": state}}
        each("lane", (key,), lambda one: remote.set_lane(one, wanted), lambda lane: _line(lane, as_json))


@contextmanager
def _changing(to: Service) -> Iterator[Remote]:
    """Open the service, and say at the end if a change is not in effect yet."""
    with reached(to) as remote:
        try:
            yield remote
        finally:
            if remote.holds_later:
                click.echo("recorded; it takes effect when Redis answers", err=True)


def _line(lane: lane_text.Lane, as_json: bool) -> str:
    """Write a lane, or a kind or a queue, which have no limits."""
    if as_json:
        return text.as_json(lane)
    shown = [lane["key"], *([lane_text.limits(lane)] if "concurrency" in lane else []), lane_text.state(lane)]
    return text.one_line("  ".join(shown))
