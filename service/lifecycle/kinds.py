"""Finding a kind by the name in a request."""

from typing import Any

from jobs import Catalogue, Kind
from jobs.kit.names import did_you_mean
from service.errors import KindUnknown


def known_kind(catalogue: Catalogue, name: str) -> Kind[Any, Any]:
    """Return the kind of this name. Raises `KindUnknown`."""
    kind = catalogue.get(name)
    if kind is None:
        meant = did_you_mean(name, catalogue)
        raise KindUnknown(f"There is no kind {name!r}.{meant} Known kinds: {', '.join(sorted(catalogue))}.")
    return kind
