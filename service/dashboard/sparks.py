"""Sparklines as SVG paths: drawn by the server, without a script."""

from collections.abc import Sequence

WIDTH, HEIGHT = 120.0, 32.0
_BAR_HEIGHT = 24.0
_TOP, _BOTTOM = 4.0, 31.0
_LEAST_BAR = 1.2


def line(values: Sequence[float | None]) -> str:
    """Return the path through `values`, with a gap where a value is unknown."""
    return "".join(f"M{'L'.join(run)}" for run in _runs(values))


def area(values: Sequence[float | None]) -> str:
    """Return the outline of the area below `line`."""
    outlines = []
    for run in _runs(values):
        first, last = run[0].partition(" ")[0], run[-1].partition(" ")[0]
        outlines.append(f"M{'L'.join(run)}L{last} {HEIGHT:g}L{first} {HEIGHT:g}Z")
    return "".join(outlines)


def _runs(values: Sequence[float | None]) -> list[list[str]]:
    """Return the points of each run of known values."""
    highest = max((value for value in values if value is not None), default=0) or 1
    step = WIDTH / max(len(values) - 1, 1)
    runs: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{number * step:.1f} {_BOTTOM - value / highest * (_BOTTOM - _TOP):.1f}")
    return [run for run in runs if run]


def bars(values: Sequence[float]) -> str:
    """Return one bar for each value; a bar of 0 is a trace at the bottom."""
    highest = max(values, default=0) or 1
    step = WIDTH / max(len(values), 1)
    return "".join(
        f"M{number * step + 0.5:.1f} {_BAR_HEIGHT:g}v-{max(value / highest * _BAR_HEIGHT, _LEAST_BAR):.1f}"
        f"h{step * 0.7:.1f}V{_BAR_HEIGHT:g}z"
        for number, value in enumerate(values)
    )
