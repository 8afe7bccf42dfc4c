"""An operation as pages show it: what it does to which jobs, its progress and pace, and what became of its members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json
from sqlalchemy.ext.asyncio import AsyncConnection

from service.dashboard.people import names_of
from service.dashboard.text import rate_text, share_text, span_text
from service.ledger.operations import Operation, OperationState
from service.ledger.reads.group_names import GroupName, group_names
from service.ledger.reads.operations import Aftermath, aftermath_of
from service.ledger.states import State
from service.web.operation_out import without_args

_VERBS = {"replay": "Replay", "cancel": "Cancel", "delete": "Delete", "run_now": "Run now", "change": "Change"}
_DONE = {"replay": "replayed", "cancel": "cancelled", "delete": "deleted", "run_now": "let run", "change": "changed"}
# The states of jobs whose shape and tone operations borrow.
_TONES = {
    OperationState.COUNTING: State.RUNNING,
    OperationState.RUNNING: State.RUNNING,
    OperationState.SUCCEEDED: State.SUCCEEDED,
    OperationState.STOPPED: State.CANCELLED,
    OperationState.FAILED: State.FAILED,
}
# Written without their names: their values explain themselves.
_PLAIN = ("state", "kind", "error_type")
_LEAST_TO_JUDGE_S = 1.0
_MOST_SAID = 3


@dataclass(frozen=True, slots=True)
class OperationView:
    """An operation. `pace` is its present speed, `left_s` how long it will take at that; None: not known.

    `aftermath` is what became of the members of a replay.
    """

    operation: Operation
    title: str
    which: str
    by: str | None
    pace: float | None
    left_s: float | None
    aftermath: Aftermath | None

    @property
    def tone(self) -> State:
        return _TONES[self.operation.state]

    @property
    def verb(self) -> str:
        return _VERBS[self.operation.action].lower()

    @property
    def done(self) -> str:
        """Say its progress: `2,371 of 4,912, 48 %`."""
        one = self.operation
        if one.state is OperationState.COUNTING:
            return f"{one.matched:,} counted so far"
        return f"{one.dealt_with:,} of {one.matched:,}, {share_text(one.dealt_with, one.matched)}"

    @property
    def spoken(self) -> str:
        would = "would be " if self.operation.dry_run else ""
        return f"{self.operation.done:,} of {self.operation.matched:,} jobs {would}{_DONE[self.operation.action]}"

    @property
    def pace_text(self) -> str:
        """Say its pace and its limit: `49.4/s of 50/s`."""
        rate = self.operation.rate
        limit = "as fast as possible" if rate is None else f"{rate:,g}/s"
        if self.pace is None:
            return limit
        return f"{rate_text(self.pace)}/s, {limit}" if rate is None else f"{rate_text(self.pace)}/s of {limit}"

    @property
    def left_text(self) -> str:
        return span_text(None) if self.left_s is None else f"about {span_text(self.left_s)}"


async def views_of(
    connection: AsyncConnection,
    operations: Sequence[Operation],
    now: datetime,
    *,
    with_aftermath: bool,
    sees_args: bool,
) -> Sequence[OperationView]:
    """Return operations as pages show them."""
    filters = {one.id: from_json(one.filter) for one in operations}
    groups = await group_names(connection, {one["fingerprint"] for one in filters.values() if "fingerprint" in one})
    people = await names_of(connection, [one.principal for one in operations])
    return [
        view_of(
            one,
            which_words(filters[one.id], groups) if sees_args else _seen_words(filters[one.id], groups),
            people.get(one.principal or ""),
            await aftermath_of(connection, one.id) if with_aftermath and _replays(one) else None,
            now,
        )
        for one in operations
    ]


def view_of(
    operation: Operation, which: str, by: str | None, aftermath: Aftermath | None, now: datetime
) -> OperationView:
    pace = pace_of(operation, now)
    title = operation.name or f"{_VERBS[operation.action]} {which}"
    return OperationView(
        operation,
        title=f"{title} (dry run)" if operation.dry_run else title,
        which=which,
        by=by,
        pace=pace,
        left_s=_left_s(operation, pace),
        aftermath=aftermath,
    )


def pace_of(operation: Operation, now: datetime) -> float | None:
    """Return how many members a second it has done since its rate was set; None if it is too soon to say."""
    if operation.paced_at is None:
        return None
    seconds = ((operation.finished_at or now) - operation.paced_at).total_seconds()
    dealt_with = operation.dealt_with - operation.paced_from
    return dealt_with / seconds if seconds >= _LEAST_TO_JUDGE_S and dealt_with else None


def _left_s(operation: Operation, pace: float | None) -> float | None:
    speed = pace or operation.rate
    if operation.state is not OperationState.RUNNING or not speed:
        return None
    return max(operation.matched - operation.dealt_with, 0) / speed


def which_words(asked: Mapping[str, Any], groups: Mapping[str, GroupName]) -> str:
    """Say which jobs a filter selects: `failed, shop.send_receipt, KeyError`."""
    told = [_listed(asked[name]) for name in _PLAIN if name in asked]
    for name, value in asked.items():
        match name:
            case "fingerprint":
                told += groups.get(value, (f"group {value}",))
            case "ids":
                told.append(f"{len(value):,} selected jobs" if len(value) != 1 else f"job {value[0]}")
            case "args" | "metadata":
                told += [f"{name}.{path} is {said}" for path, said in value.items()]
            case "q":
                told.append(f"“{value}” in them")
            case _ if name not in _PLAIN:
                told.append(f"{name.replace('_', ' ')} {_listed(value)}")
    return ", ".join(told) or "all jobs"


def _seen_words(asked: Mapping[str, Any], groups: Mapping[str, GroupName]) -> str:
    """Say the same to callers who may not see args."""
    seen = without_args(asked)
    if seen == asked:
        return which_words(asked, groups)
    return f"{which_words(seen, groups) if seen else 'jobs'}, by what is hidden from you"


def _listed(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    shown = [str(one) for one in value[:_MOST_SAID]]
    return " or ".join(shown) + (f" or {len(value) - _MOST_SAID:,} more" if len(value) > _MOST_SAID else "")


def _replays(operation: Operation) -> bool:
    return operation.action == "replay" and not operation.dry_run and operation.started_at is not None
