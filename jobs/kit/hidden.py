"""Other code with our names: a project's own `jobs` or `service`, which ours hide from that project's kinds."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# The folder of our own packages.
_OURS = Path(__file__).resolve().parents[2]
_NAMES = ("jobs", "service")


def hidden_by_ours() -> Iterator[str]:
    """Yield a sentence for each package or module on the import path that ours hides."""
    for name in _NAMES:
        for place in _others(name):
            yield _sentence(name, place)


def why_hidden(dotted: str) -> str | None:
    """Say what a dotted name may have meant if ours hides it, or return None."""
    name = dotted.partition(".")[0]
    place = next(_others(name), None) if name in _NAMES else None
    return None if place is None else _sentence(name, place)


def _sentence(name: str, place: Path) -> str:
    return (
        f"`{name}` is Postlude's own package ({_OURS / name}), which hides {place}: rename that one, or keep the kinds"
        " in modules that do not need it"
    )


def _others(name: str) -> Iterator[Path]:
    seen = {_OURS / name}
    for entry in [*sys.path, os.getcwd()]:  # noqa: PTH109 - sys.path holds strings
        for place in (Path(entry, name), Path(entry, f"{name}.py")):
            if place.resolve() not in seen and _holds_code(place):
                seen.add(place.resolve())
                yield place.resolve()


def _holds_code(place: Path) -> bool:
    try:
        return place.is_file() or any(place.glob("*.py"))
    except OSError:  # Python does not import what we may not read either
        return False
