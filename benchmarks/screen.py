"""What the person at the terminal reads."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.cases import Case
from benchmarks.report import cell
from benchmarks.results import Change, Results


def show(results: Results, cases: Sequence[Case]) -> None:
    """Print each case's medians, with least and most."""
    console = Console()
    for case in (one for one in cases if one.name in results.values):
        table = Table(title=case.title, title_justify="left")
        table.add_column()
        for measure in case.measures.values():
            table.add_column(measure.title, justify="right")
        for name, _ in results.shown(case):
            table.add_row(
                name, *(cell(results.spread(case.name, name, key), one) for key, one in case.measures.items())
            )
        console.print(table)


def show_changes(changes: Iterable[Change]) -> None:
    """Print before, after and their ratio; `itself` is the ratio without the machine's own change."""
    table = Table("case", "contender", "measure", "before", "after", "ratio", "drift", "itself")
    for one in changes:
        figures = [f"{one.before.median:,.2f}", f"{one.after.median:,.2f}", f"{one.ratio:.2f}"]
        drift = ["-", "-"] if one.drift is None else [f"{one.drift:.2f}", f"{one.ratio / one.drift:.2f}"]
        table.add_row(one.case, one.contender, one.measure, *figures, *drift)
    Console().print(table)
