"""`postlude jobs change` and `run-now`: change jobs that have not started, and make them due now."""

from typing import Any

import click

from service.commands import text
from service.commands.reaching import AS_JSON, Json, Service, each, given, reached

_RESETTABLE = ("run_at", "priority", "queue", "lane", "max_attempts", "timeout", "tags", "metadata")
_IDS = click.argument("ids", nargs=-1, metavar="ID...")


@click.command()
@_IDS
@click.option("--run-at", metavar="TIME", help="RFC 3339, e.g. 2026-01-31T09:00:00Z.")
@click.option("--priority", type=int)
@click.option("--args", type=Json(), metavar="JSON", help="Replaces all args.")
@click.option("--queue")
@click.option("--lane", metavar="KEY")
@click.option("--max-attempts", type=int)
@click.option("--timeout", type=float, metavar="SECONDS", help="For each attempt.")
@click.option("--tag", "tags", multiple=True, help="Replaces all tags; repeat it for several.")
@click.option("--metadata", type=Json(), metavar="JSON", help="Replaces all metadata.")
@click.option("--reset", multiple=True, type=click.Choice(_RESETTABLE), help="Reset it to the value of a new job.")
@AS_JSON
@click.pass_obj
def change(to: Service, /, ids: tuple[str, ...], reset: tuple[str, ...], as_json: bool, **chosen: Any) -> None:
    """Change jobs that have not started. Options left out change nothing."""
    changes = {**given(chosen), **dict.fromkeys(reset)}
    if not changes:
        raise click.UsageError("Say what to change, e.g. --priority 5.")
    if twice := [name for name in reset if name in given(chosen)]:
        raise click.UsageError(f"{twice[0]} cannot be both given and reset.")
    with reached(to) as remote:
        each("job", ids, lambda job_id: remote.change(job_id, changes), lambda job: text.state_of(job, as_json))


@click.command("run-now")
@_IDS
@AS_JSON
@click.pass_obj
def run_now(to: Service, /, ids: tuple[str, ...], as_json: bool) -> None:
    """Make jobs that wait for their time due now."""
    with reached(to) as remote:
        each("job", ids, remote.run_now, lambda job: text.state_of(job, as_json))
