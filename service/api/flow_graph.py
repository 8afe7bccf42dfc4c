"""Finds an order for the jobs of a new flow, if there is one. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from service.errors import MOST_ERRORS, FlowInvalid

# A cycle is shown with this many of its jobs at each end.
_SHOWN_OF_CYCLE = 5
Mistake = dict[str, Any]


class Node(NamedTuple):
    """A job's name, and the names of the jobs that it comes after."""

    name: str
    after: Sequence[str]


def in_order(nodes: Sequence[Node]) -> list[int]:
    """Return the indexes of the jobs, each after the jobs that it comes after.

    Keeps the given order wherever it can. Raises `FlowInvalid`.
    """
    places = _places(nodes)
    if errors := [*_misnamed(nodes, places)]:
        raise FlowInvalid(f"The jobs of the flow cannot be put in an order: {errors[0]['msg']}.", errors=errors)
    if all(places[parent] < place for place, node in enumerate(nodes) for parent in node.after):
        return list(range(len(nodes)))
    try:
        sorter = TopologicalSorter({node.name: node.after for node in nodes})
        return [places[name] for name in sorter.static_order()]
    except CycleError as error:
        raise _cycle(nodes, places, error.args[1]) from None


def _places(nodes: Sequence[Node]) -> dict[str, int]:
    places: dict[str, int] = {}
    errors: list[Mistake] = []
    for place, node in enumerate(nodes):
        first = places.setdefault(node.name, place)
        if first != place and len(errors) < MOST_ERRORS:
            errors.append(_mistake(f"job {first} also has the name {node.name!r}", place, "name"))
    if errors:
        raise FlowInvalid(f"Two jobs of the flow have the same name: {errors[0]['msg']}.", errors=errors)
    return places


def _misnamed(nodes: Sequence[Node], places: Mapping[str, int]) -> Iterator[Mistake]:
    """Yield the first mistakes in the `after` of jobs."""
    left = MOST_ERRORS
    for place, node in enumerate(nodes):
        for number, parent in enumerate(node.after):
            if parent in places and parent != node.name:
                continue
            told = "a job cannot come after itself" if parent == node.name else f"no job has the name {parent!r}"
            yield _mistake(told, place, "after", number)
            left -= 1
            if not left:
                return


def _cycle(nodes: Sequence[Node], places: Mapping[str, int], names: Sequence[str]) -> FlowInvalid:
    """Make the refusal of a cycle: each of `names` comes after the one before it, and the last is the first."""
    left_out = len(names) - 2 * _SHOWN_OF_CYCLE
    ends = [*names[:_SHOWN_OF_CYCLE], f"({left_out:,} more)", *names[-_SHOWN_OF_CYCLE:]]
    told = f"they wait for one another: {' → '.join(ends if left_out > 0 else names)}"
    first = places[names[0]]
    where = _mistake(told, first, "after", nodes[first].after.index(names[-2]))
    return FlowInvalid(f"The jobs of the flow cannot be put in an order: {told}.", errors=[where])


def _mistake(told: str, place: int, *rest: str | int) -> Mistake:
    return {"loc": ["jobs", place, *rest], "msg": told, "type": "flow_invalid"}
