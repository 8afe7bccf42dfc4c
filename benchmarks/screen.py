"""Tables for the terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.cases import Case
from benchmarks.comparison import Comparison
from benchmarks.measures import Measure
from benchmarks.report import cell
from benchmarks.results import Change, Results

_GAIN = Measure("gain", digits=2)


def show(results: Results, cases: Sequence[Case]) -> None:
    """Print each case's medians, with the least and the most."""
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
    """Print before, after and their ratio; `itself` is the ratio without the machine's drift."""
    table = Table("case", "contender", "measure", "before", "after", "ratio", "drift", "itself")
    for one in changes:
        figures = [f"{one.before.median:,.2f}", f"{one.after.median:,.2f}", f"{one.ratio:.2f}"]
        drift = ["-", "-"] if one.drift is None else [f"{one.drift:.2f}", f"{one.ratio / one.drift:.2f}"]
        table.add_row(one.case, one.contender, one.measure, *figures, *drift)
    Console().print(table)


def show_comparisons(comparisons: Iterable[Comparison], base: str) -> None:
    """Print both medians and the gain, with the least and the most of all rounds; above 1 is better."""
    table = Table("case", "contender", "measure", base, "here", "gain", "")
    for one in comparisons:
        medians = [cell(spread, one.measure) for spread in (one.base, one.here)]
        table.add_row(one.case, one.contender, one.measure.title, *medians, cell(one.gain, _GAIN), one.remark)
    Console().print(table)
