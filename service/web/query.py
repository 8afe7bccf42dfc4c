"""Refuses query parameters that the route does not have."""

from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant

from service.errors import Refused


async def known_query(request: Request) -> None:
    """Refuse query parameters that the route does not have, or that are repeated without being a list.

    A filter with a misspelt name would show everything.
    """
    if not request.scope["query_string"]:
        return
    known = _parameters(request.scope.get("route"))
    names = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in names.items():
        if name not in known and not _is_of_a_family(name, known):
            raise Refused(f"There is no query parameter {name!r} here. {_instead(name, known)}")
        if count > 1 and not known.get(name):
            raise Refused(f"The query parameter {name!r} was sent {count} times. Send it once.")


def _is_of_a_family(name: str, known: Mapping[str, bool]) -> bool:
    """Whether a name belongs to a parameter `prefix.<path>`, which stands for any number of names."""
    prefix, _, path = name.partition(".")
    return bool(path) and f"{prefix}.<path>" in known


def _parameters(route: Any) -> Mapping[str, bool]:
    """Return the query parameters of a route: for each name, whether it is a list."""
    return {} if route is None else dict(_declared(route.dependant))


def _declared(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    for one in dependant.query_params:
        yield one.alias, _is_list(one.field_info.annotation)
    for deeper in dependant.dependencies:
        yield from _declared(deeper)


def _is_list(annotation: Any) -> bool:
    """Whether a parameter is a list, or an optional list."""
    return any(get_origin(one) is list for one in (annotation, *get_args(annotation)))


def _instead(name: str, known: Mapping[str, bool]) -> str:
    if near := get_close_matches(name, known, n=1):
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(sorted(known))}." if known else "This call takes none."
