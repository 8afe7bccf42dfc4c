"""Charts as SVG: one bar for each contender, with a whisker from least to most. Readable on light and dark pages."""

from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.cases import Case
from benchmarks.measures import Measure, Spread
from benchmarks.results import Results

WIDTH = 760
NAMES = 240
VALUES = 70
ROW = 26
TOP = 46
_OURS, _OTHERS, _TEXT, _QUIET = "#0f766e", "#94a3b8", "#1f2937", "#64748b"
_FAR = 3
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:" + _TEXT + "}.title{font-weight:600;font-size:15px}"
    ".quiet{fill:" + _QUIET + ";font-size:12px}"
)


def bars(case: Case, results: Results) -> str:
    """Draw the case's main measure."""
    measure = case.measures[case.main]
    known = results.shown(case)
    height = TOP + ROW * len(known) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(case.title)}">',
        f'<style>{_STYLE}</style><rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
        f'<text class="title" x="16" y="26">{escape(case.title)}</text>',
        f'<text class="quiet" x="{WIDTH - 16}" y="26" text-anchor="end">{escape(_legend(measure))}</text>',
        *_rows(known, measure),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _legend(measure: Measure) -> str:
    return f"{measure.title}: {'more' if measure.more_is_better else 'less'} is better"


def _rows(rows: Sequence[tuple[str, Spread]], measure: Measure) -> Iterator[str]:
    values = [spread.most for _, spread in rows]
    scale = (WIDTH - NAMES - VALUES - 16) / ((max(values) if measure.more_is_better else _longest(values)) or 1)
    for place, (name, spread) in enumerate(rows):
        yield from _row(TOP + place * ROW, name, spread, measure, scale)


def _longest(values: Sequence[float]) -> float:
    """Return the value whose bar fills the width. A bar far longer than all others is broken off."""
    *others, worst = sorted(values)
    return _FAR * others[-1] if others and worst > _FAR * others[-1] > 0 else worst


def _row(top: int, name: str, spread: Spread, measure: Measure, scale: float) -> Iterator[str]:
    middle = top + ROW / 2
    edge = WIDTH - VALUES - 16
    left, right, end = (
        min(NAMES + max(value, 0) * scale, edge) for value in (spread.least, spread.most, spread.median)
    )
    fill = _OURS if name.startswith("Postlude") else _OTHERS
    yield f'<text x="{NAMES - 10}" y="{middle + 4:.0f}" text-anchor="end">{escape(name)}</text>'
    yield (
        f'<rect x="{NAMES}" y="{top + 4}" width="{max(end - NAMES, 1):.1f}" height="{ROW - 8}" rx="2" fill="{fill}"/>'
    )
    if spread.median * scale > edge - NAMES + 1:
        yield f'<path d="M{end - 20:.1f} {top + ROW}l8 {-ROW}" stroke="#ffffff" stroke-width="5"/>'
    if right - left > 1:
        yield f'<path d="M{left:.1f} {middle:.1f}H{right:.1f}" stroke="{_TEXT}" stroke-width="1.5"/>'
    value = f"{spread.median:,.{measure.digits}f}"
    yield f'<text x="{max(right, end) + 6:.1f}" y="{middle + 4:.0f}">{value}</text>'
