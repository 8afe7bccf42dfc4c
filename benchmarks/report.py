"""The tables of docs/performance.md: each chapter's stand between two markers."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from benchmarks import charts
from benchmarks.cases import Case
from benchmarks.contenders import ROOT, TUNED_ARQ
from benchmarks.measures import Measure, Spread
from benchmarks.results import Results

DOCUMENT = ROOT / "docs" / "performance.md"
CHARTS = ROOT / "docs" / "charts"
MARKERS = {
    "engine": ("<!-- figures: written by `make bench` -->", "<!-- end of figures -->"),
    "lanes": ('<!-- lanes: written by `make bench ARGS="--only lanes"` -->', "<!-- end of lanes -->"),
    "processes": ('<!-- processes: written by `make bench ARGS="--only processes"` -->', "<!-- end of processes -->"),
    "flows": ('<!-- flows: written by `make bench ARGS="--only flows"` -->', "<!-- end of flows -->"),
    "apps": ('<!-- apps: written by `make bench ARGS="--only apps"` -->', "<!-- end of apps -->"),
}


def publish(results: Results, cases: Sequence[Case]) -> None:
    """Write the tables of the chapters that were played into the document, and the charts beside it."""
    played = [case for case in cases if case.name in results.values]
    for chapter, (begin, end) in MARKERS.items():
        if chosen := [case for case in played if case.chapter == chapter]:
            before, _, rest = DOCUMENT.read_text().partition(begin)
            _, _, after = rest.partition(end)
            DOCUMENT.write_text(f"{before}{begin}\n\n{figures(results, chosen)}\n{end}{after}")
    CHARTS.mkdir(exist_ok=True)
    for case in played:
        (CHARTS / f"{case.name}.svg").write_text(charts.bars(case, results))


def figures(results: Results, cases: Sequence[Case]) -> str:
    """Return all tables as Markdown."""
    sections = [_about(results), *(_section(case, results) for case in cases if case.name in results.values)]
    return "\n".join(sections)


def _about(results: Results) -> str:
    about = results.about
    versions = ", ".join(f"{name} {version}" for name, version in sorted(about["versions"].items()))
    return (
        f"Measured {about['at'][:10]} at {about['commit']} on {about['machine']}, load average "
        f"{about['load_before']:.1f} before. Medians of {about['rounds']} interleaved rounds, in brackets least and "
        f"most. {versions}.\n"
        + "".join(f"\n{contender} took no part: {reason}.\n" for contender, reason in results.absent.items())
    )


def _section(case: Case, results: Results) -> str:
    fewer = f" Rounds: {case.rounds_at_most}." if case.rounds_at_most < results.about["rounds"] else ""
    explanation = case.explanation + fewer
    lines = [f"### {case.title}", "", explanation, "", f"![{case.title}](charts/{case.name}.svg)", ""]
    return "\n".join([*lines, *_table(case, results), *_remarks(case, results), ""])


def _table(case: Case, results: Results) -> Iterator[str]:
    yardstick = results.spread(case.name, TUNED_ARQ.name, case.main)
    titles = [measure.title for measure in case.measures.values()] + (["times tuned arq"] if yardstick else [])
    yield "| | " + " | ".join(titles) + " |"
    yield "|---|" + "---:|" * len(titles)
    for contender, main in results.shown(case):
        cells = [cell(results.spread(case.name, contender, key), one) for key, one in case.measures.items()]
        if yardstick:
            cells.append(_times(case, main, yardstick))
        yield f"| {contender} | " + " | ".join(cells) + " |"


def cell(spread: Spread | None, measure: Measure) -> str:
    """Show a figure as its median, with least and most where they differ."""
    if spread is None:
        return "-"
    median, least, most = (f"{value:,.{measure.digits}f}" for value in (spread.median, spread.least, spread.most))
    return median if least == most else f"{median} ({least} to {most})"


def _times(case: Case, spread: Spread, yardstick: Spread) -> str:
    """Return how many times better than tuned arq; where less is better, divide tuned arq's figure by this one."""
    if not spread.median or not yardstick.median:
        return "-"
    ratio = spread.median / yardstick.median
    return f"{ratio if case.measures[case.main].more_is_better else 1 / ratio:.2f}"


def _remarks(case: Case, results: Results) -> Iterator[str]:
    shown = [name for name, _ in results.shown(case)]
    ahead = list(takewhile(lambda name: not name.startswith("Postlude"), shown))
    if ahead and ahead != shown:
        yield f"\nAhead of Postlude: {', '.join(ahead)}."
    for contender, reason in results.failures.get(case.name, {}).items():
        yield f"\n{contender} failed: {reason.splitlines()[0]}"
