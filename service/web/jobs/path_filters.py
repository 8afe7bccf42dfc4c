"""Filters by the value at a path in a job's args or metadata: `args.user.id=42`."""

from typing import Annotated, NamedTuple

from fastapi import Query, Request

from service.errors import Refused
from service.ledger.reads.matching import MOST_PATHS, PathIs, path_reads

_ARGS = "The value at a path in the args, e.g. `args.user.id=42` or `args.items.0=a`. Searches 10,000 jobs a page."
_METADATA = "The value at a path in the metadata, e.g. `metadata.tenant=acme`. Searches 10,000 jobs a page."


class PathFilters(NamedTuple):
    args: tuple[PathIs, ...]
    metadata: tuple[PathIs, ...]


async def path_filters(
    request: Request,
    _args: Annotated[str | None, Query(alias="args.<path>", description=_ARGS)] = None,
    _metadata: Annotated[str | None, Query(alias="metadata.<path>", description=_METADATA)] = None,
) -> PathFilters:
    """Read the paths of a query. Raises `Refused`."""
    sent = [(name.partition(".")[::2], text) for name, text in request.query_params.multi_items() if "." in name]
    if len(sent) > MOST_PATHS:
        raise Refused(f"At most {MOST_PATHS} filters by path are allowed; there are {len(sent)}.")
    try:
        read = [(prefix, path_reads(path, text)) for (prefix, path), text in sent]
    except ValueError as error:
        raise Refused(str(error)) from error
    return PathFilters(**{part: tuple(one for prefix, one in read if prefix == part) for part in _PARTS})


_PARTS = PathFilters._fields
