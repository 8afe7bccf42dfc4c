"""`python -m benchmarks`: run, compare, publish. `make bench` runs and publishes all."""

import signal
import sys
from pathlib import Path

import click

from benchmarks import program, screen
from benchmarks.contenders import TUNED_ARQ
from benchmarks.report import publish as publish_figures
from benchmarks.results import FOLDER, LATEST, Results, compare


@click.group()
def benchmarks() -> None:
    """Measure Postlude beside other job libraries."""


@benchmarks.command()
@click.option("--rounds", default=3, show_default=True, help="How often everything is measured, in turns.")
@click.option("--quick", is_flag=True, help="One round of fewer jobs and peers, in about three minutes.")
@click.option("--only", default="", help="Cases, comma-separated.")
@click.option("--peers", default="", help="Parts of peers' names, comma-separated; Postlude always takes part.")
def run(rounds: int, quick: bool, only: str, peers: str) -> None:
    """Measure; print and keep the results. A complete run is published in docs/performance.md."""
    try:
        cases = program.load_cases(_parts(only))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--only") from error
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers and workers end with this process
    rounds = 1 if quick else rounds
    results = Results(about={})
    programme = program.performances(cases, _parts(peers), rounds, quick=quick)
    kept = FOLDER / f"{program.timestamp()}.json"
    for results in program.play(programme, rounds=rounds, quick=quick):
        results.write(kept)
    screen.show(results, cases)
    click.echo(f"kept as {kept}")
    if not (quick or only or peers):
        results.write(LATEST)
        publish_figures(results, cases)


@benchmarks.command("compare")
@click.argument("before", type=click.Path(exists=True, path_type=Path))
@click.argument("after", type=click.Path(exists=True, path_type=Path))
@click.option("--yardstick", default=TUNED_ARQ.name, show_default=True, help="Whose own change is the machine's.")
def compare_runs(before: Path, after: Path, yardstick: str) -> None:
    """Show what changed between two results, and what the machine did to the yardstick meanwhile."""
    screen.show_changes(compare(Results.read(before), Results.read(after), yardstick))


@benchmarks.command()
@click.argument("results", type=click.Path(exists=True, path_type=Path), default=LATEST)
def publish(results: Path) -> None:
    """Write results into docs/performance.md and its charts."""
    publish_figures(Results.read(results), program.load_cases(()))


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


if __name__ == "__main__":
    benchmarks(prog_name="python -m benchmarks")
