"""Words for people."""

from collections.abc import Sequence

_MOST_NAMED = 3


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 worker`, `4,861 workers`, `2 lanes are`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def listed(names: Sequence[str], count: int, most: int = _MOST_NAMED) -> str:
    """List names as they are spoken, the first of `count`: `publish and notify`, `a, b, c and 4 more`."""
    shown = list(names[:most])
    if count > len(shown):
        shown.append(f"{count - len(shown):,} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
