"""Objects that a module holds under a name, whose methods can be found again."""

import sys
from typing import Any

_known: dict[int, tuple[str, str]] = {}


def place_of(held: Any) -> str | None:
    """Return `module.name` where an imported module holds this very object; None if none does."""
    known = _known.get(id(held))
    if known is None or not _holds(*known, held):
        known = min(_places(held), default=None)
        if known is None:
            return None
        _known[id(held)] = known
    return ".".join(known)


def _places(held: Any) -> list[tuple[str, str]]:
    return [
        (module, name)
        for module, loaded in list(sys.modules.items())
        for name, value in list(getattr(loaded, "__dict__", {}).items())
        if value is held and not name.startswith("__")
    ]


def _holds(module: str, name: str, held: Any) -> bool:
    return getattr(sys.modules.get(module), "__dict__", {}).get(name) is held
