"""`postlude workers`: list, show, drain and forget, over the HTTP API of a running service."""

from __future__ import annotations

import click

from service.commands import text, worker_text
from service.commands.reaching import AS_JSON, Service, each, reached, reaching, show_list

_IDS = click.argument("ids", nargs=-1, metavar="ID...")


@click.group()
@reaching
@click.pass_context
def workers(context: click.Context, url: str, key: str | None) -> None:
    """List, show, drain and forget the workers of a running service.

    Exit code 0: done. 1: refused, failed, or no answer. 2: wrong usage.
    """
    context.obj = Service.at(url, key)


@workers.command("list")
@AS_JSON
@click.pass_obj
def list_workers(to: Service, /, as_json: bool) -> None:
    """List the workers that are alive, are silent, or ended within the hour."""
    with reached(to) as remote:
        show_list("workers", remote.workers(), worker_text.table, None, as_json=as_json)


@workers.command()
@_IDS
@AS_JSON
@click.pass_obj
def show(to: Service, /, ids: tuple[str, ...], as_json: bool) -> None:
    """Show everything known about workers, and what each runs."""

    def tell(one: worker_text.Worker) -> str:
        return text.as_json(one) if as_json else "\n".join([*worker_text.details(one), ""])

    with reached(to) as remote:
        each("worker", ids, remote.worker, tell)


@workers.command()
@_IDS
@click.pass_obj
def drain(to: Service, /, ids: tuple[str, ...]) -> None:
    """Make workers take no new jobs until they are stopped. Their running jobs go on to the end."""
    with reached(to) as remote:
        each("worker", ids, lambda one: remote.act_on_worker(one, "drain"), worker_text.line)


@workers.command()
@_IDS
@click.pass_obj
def forget(to: Service, /, ids: tuple[str, ...]) -> None:
    """Take dead workers off the list. Their jobs were rescued."""
    with reached(to) as remote:
        each("worker", ids, lambda one: remote.act_on_worker(one, "forget"), worker_text.line)
