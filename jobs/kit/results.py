"""The results of the jobs that a job came after."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json


class Parent(NamedTuple):
    """A job that came before: its name if both are in one flow, and its result as JSON, if it has one."""

    id: str
    name: str | None = None
    result: str | None = None


class Results(Mapping[str, Any]):
    """Results by the parents' ids, in the order of `after`; found by their names in the flow, too.

    A parent without a result has None. A parent past its retention is missing.
    """

    def __init__(self, parents: Iterable[Parent] = ()) -> None:
        self._by_id = {parent.id: parent for parent in parents}
        self._by_name = {parent.name: parent for parent in self._by_id.values() if parent.name is not None}
        self._read: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        parent = self._by_id.get(key) or self._by_name.get(key)
        if parent is None:
            known = ", ".join([*self._by_name, *self._by_id][:10]) or "none"
            raise KeyError(f"this job did not come after {key!r}, or that job is past its retention; known: {known}")
        if parent.id not in self._read:
            self._read[parent.id] = None if parent.result is None else from_json(parent.result)
        return self._read[parent.id]

    def __contains__(self, key: object) -> bool:
        return key in self._by_id or key in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"Results({dict(self)!r})"
