"""`postlude flows`: list, show, cancel and replay, over the HTTP API of a running service."""

import click

from service.commands import flow_text, text
from service.commands.reaching import AS_JSON, Service, each, paged, reached, reaching, show_list, width

_IDS = click.argument("ids", nargs=-1, metavar="ID...")


@click.group()
@reaching
@click.pass_context
def flows(context: click.Context, url: str, key: str | None) -> None:
    """List, show, cancel and replay flows: jobs that wait for one another.

    Exit code 0: done. 1: refused, failed, or no answer. 2: wrong usage.
    """
    context.obj = Service.at(url, key)


@flows.command("list")
@paged
@AS_JSON
@click.pass_obj
def list_flows(to: Service, /, limit: int | None, as_json: bool) -> None:
    """List flows, newest first, with how many of their jobs are in each state."""
    with reached(to) as remote:
        show_list("flows", remote.flows(limit), flow_text.table, limit, as_json=as_json)


@flows.command()
@_IDS
@AS_JSON
@click.pass_obj
def show(to: Service, /, ids: tuple[str, ...], as_json: bool) -> None:
    """Show a flow with each of its jobs: its state, what it comes after, and its error."""

    def tell(flow: flow_text.Flow) -> str:
        return text.as_json(flow) if as_json else "\n".join([*flow_text.details(flow, width()), ""])

    with reached(to) as remote:
        each("flow", ids, remote.flow, tell)


@flows.command()
@_IDS
@AS_JSON
@click.pass_obj
def cancel(to: Service, /, ids: tuple[str, ...], as_json: bool) -> None:
    """Cancel all jobs of flows that have not ended. Running jobs are interrupted."""
    ended = set[str]()
    with reached(to) as remote:

        def cancelled(flow_id: str) -> flow_text.Flow:
            if remote.state_of_flow(flow_id) != "running":
                ended.add(flow_id)
            return remote.cancel_flow(flow_id)

        def tell(flow: flow_text.Flow) -> str:
            had_ended = flow["id"] in ended and not as_json
            return _line(flow, as_json) + "  (it had ended: nothing was cancelled)" * had_ended

        each("flow", ids, cancelled, tell)


@flows.command()
@_IDS
@AS_JSON
@click.pass_obj
def replay(to: Service, /, ids: tuple[str, ...], as_json: bool) -> None:
    """Run the failed jobs of flows again, and the ones cancelled by a user. Jobs cancelled because of them follow."""
    with reached(to) as remote:
        each("flow", ids, remote.replay_flow, lambda flow: _line(flow, as_json))


def _line(flow: flow_text.Flow, as_json: bool) -> str:
    return text.as_json(flow) if as_json else flow_text.line(flow)
