"""`python -m benchmarks`: run, compare, changes, publish. `make bench` runs everything and publishes it."""

import signal
import sys
from pathlib import Path

import click

from benchmarks import comparison, program, screen
from benchmarks.base import NoBase
from benchmarks.base import checkout as base_checkout
from benchmarks.contenders import TUNED_ARQ
from benchmarks.report import MARKERS
from benchmarks.report import publish as publish_figures
from benchmarks.results import FOLDER, LATEST, Results, changes_between


@click.group()
def benchmarks() -> None:
    """Measure Postlude beside other job libraries."""


@benchmarks.command()
@click.option("--rounds", default=3, show_default=True, help="How often everything is measured, in turns.")
@click.option("--quick", is_flag=True, help="One round of fewer jobs and peers, in about six minutes.")
@click.option("--only", default="", help="Cases or chapters, comma-separated: engine, lanes, flows, or one of theirs.")
@click.option("--peers", default="", help="Parts of peers' names, comma-separated; Postlude always takes part.")
def run(rounds: int, quick: bool, only: str, peers: str) -> None:
    """Measure; print and keep the results. What is complete is published in docs/performance.md."""
    try:
        cases = program.load_cases(_parts(only))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--only") from error
    _end_on_sigterm()
    rounds = 1 if quick else rounds
    results = Results(about={})
    programme = program.performances(cases, _parts(peers), rounds, quick=quick)
    kept = FOLDER / f"{program.timestamp()}.json"
    for results in program.play(programme, rounds=rounds, quick=quick):
        results.write(kept)
    screen.show(results, cases)
    click.echo(f"kept as {kept}")
    if not (quick or peers or set(_parts(only)) - MARKERS.keys()):
        results.write(LATEST)
        publish_figures(results, cases)


@benchmarks.command("compare")
@click.option("--base", required=True, help="The revision to compare with, as git names it.")
@click.option("--rounds", default=5, show_default=True, help="How often each case is played by both, in turns.")
@click.option("--quick", is_flag=True, help="Two rounds of fewer jobs, in about five minutes.")
@click.option("--only", default="", help=f"Cases, comma-separated: {', '.join(comparison.MEASURES)}.")
def compare_with(base: str, rounds: int, quick: bool, only: str) -> None:
    """Measure this checkout and another revision in turns; print the ratios."""
    try:
        pairs = comparison.pairs(_parts(only), 2 if quick else rounds, quick=quick)
        checkout = base_checkout(base)
    except (ValueError, NoBase) as error:
        raise click.ClickException(str(error)) from error
    _end_on_sigterm()
    screen.show_comparisons(comparison.compare(checkout, pairs, quick=quick), base)


@benchmarks.command()
@click.argument("before", type=click.Path(exists=True, path_type=Path))
@click.argument("after", type=click.Path(exists=True, path_type=Path))
@click.option("--yardstick", default=TUNED_ARQ.name, show_default=True, help="Its own change is the machine's.")
def changes(before: Path, after: Path, yardstick: str) -> None:
    """Show what changed between two kept results, and what the machine did to the yardstick meanwhile."""
    screen.show_changes(changes_between(Results.read(before), Results.read(after), yardstick))


@benchmarks.command()
@click.argument("results", type=click.Path(exists=True, path_type=Path), default=LATEST)
def publish(results: Path) -> None:
    """Write results into docs/performance.md and its charts."""
    publish_figures(Results.read(results), program.load_cases(()))


def _end_on_sigterm() -> None:
    """Servers and workers end with this process then."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


if __name__ == "__main__":
    benchmarks(prog_name="python -m benchmarks")
