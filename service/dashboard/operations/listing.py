"""What the list of operations and the page of one show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from service.dashboard.cursors import cursor_of, place_of
from service.dashboard.operations.view import OperationView, views_of
from service.dashboard.text import span_text
from service.errors import OperationNotFound
from service.insight.words import Time, Words
from service.ledger.ledger import Ledger
from service.ledger.operations import Operation, OperationState, Place
from service.ledger.reads.operations import (
    FailedAgain,
    MemberFailed,
    failed_again,
    failures_of,
    get_operation,
    list_operations,
    live_operations,
)
from service.web.operation_out import without_args
from service.words import counted

_SHOWN = 50
_MOST_LIVE = 20
_MOST_FAILED_AGAIN = 50


@dataclass(frozen=True, slots=True)
class OperationsPage:
    """`live` are the operations under way, on the first page; `rows` the others, newest first."""

    live: Sequence[OperationView]
    rows: Sequence[OperationView]
    headline: str
    answer: Words
    older: str | None


@dataclass(frozen=True, slots=True)
class OperationPage:
    """An operation with the members that it failed on, by reason, and those that failed again after a replay."""

    view: OperationView
    headline: str
    answer: Words
    sent: Mapping[str, Any]
    skipped: Sequence[tuple[str, int]]
    members_failed: Sequence[MemberFailed]
    failed_again: Sequence[FailedAgain]


async def read_operations(
    ledger: Ledger, cursor: str | None, now: datetime, *, sees_args: bool = True
) -> OperationsPage:
    """Read a page of operations. Raises `BadCursor`."""
    place = place_of(cursor)
    async with ledger.read() as connection:
        under_way = await live_operations(connection, _MOST_LIVE) if place is None else []
        found = await list_operations(connection, None if place is None else Place(*place), _SHOWN + 1)
        shown = [one for one in found[:_SHOWN] if not one.is_live or place is not None]
        live = await views_of(connection, under_way, now, with_aftermath=True, sees_args=sees_args)
        rows = await views_of(connection, shown, now, with_aftermath=False, sees_args=sees_args)
    last = found[_SHOWN - 1] if len(found) > _SHOWN else None
    headline, answer = _verdict(live, rows)
    return OperationsPage(live, rows, headline, answer, None if last is None else cursor_of(last.created_at, last.id))


def _verdict(live: Sequence[OperationView], rows: Sequence[OperationView]) -> tuple[str, Words]:
    if live:
        left = [one.left_s for one in live]
        known = [seconds for seconds in left if seconds is not None]
        headline = f"{counted(len(live), 'operation')} {'is' if len(live) == 1 else 'are'} under way."
        return headline, (f" The longest takes about {span_text(max(known))} more.",) if len(known) == len(left) else ()
    if not rows:
        return "There are no operations.", (
            " An operation is one action on many jobs, which can be watched and stopped.",
        )
    latest = rows[0].operation
    return "Nothing is under way.", (
        f" The latest, {rows[0].title}, {_ended(latest)} ",
        Time(latest.finished_at or latest.created_at),
        ".",
    )


def _ended(operation: Operation) -> str:
    return {OperationState.SUCCEEDED: "finished", OperationState.STOPPED: "was stopped"}.get(operation.state, "failed")


async def read_operation(ledger: Ledger, operation_id: str, now: datetime, *, sees_args: bool = True) -> OperationPage:
    """Read an operation. Raises `OperationNotFound`."""
    async with ledger.read() as connection:
        operation = await get_operation(connection, operation_id)
        if operation is None:
            raise OperationNotFound(f"There is no operation {operation_id!r}. It may be past its retention.")
        [view] = await views_of(connection, [operation], now, with_aftermath=True, sees_args=sees_args)
        members = await failures_of(connection, operation_id)
        again = await failed_again(connection, operation_id, _MOST_FAILED_AGAIN) if view.aftermath else []
    headline, answer = _standing(view)
    return OperationPage(
        view,
        headline,
        answer,
        sent=_sent(operation, sees_args=sees_args),
        skipped=sorted(operation.skipped.items(), key=lambda one: -one[1]),
        members_failed=members,
        failed_again=again,
    )


def _sent(operation: Operation, *, sees_args: bool) -> Mapping[str, Any]:
    """Return the request that would start the same operation, as far as the caller may see it."""
    rate = operation.rate
    read = from_json if sees_args else lambda text: without_args(from_json(text))
    said = {
        "action": operation.action,
        "filter": read(operation.filter),
        "change": None if operation.change is None else read(operation.change),
        "rate": int(rate) if rate is not None and rate.is_integer() else rate,
        "name": operation.name,
        "dry_run": operation.dry_run or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _standing(view: OperationView) -> tuple[str, Words]:
    """Say what an operation is doing, and what failed in it."""
    one = view.operation
    if one.state is OperationState.COUNTING:
        return "Its members are being counted.", (f" {one.matched:,} so far.",)
    failed = f" It could not be applied to {counted(one.failed, 'job')}." if one.failed else ""
    again = _again(view)
    match one.state:
        case OperationState.RUNNING:
            left = "" if view.left_s is None else f" {view.left_text.capitalize()} are left."
            return f"{view.spoken}.", (f"{left}{failed}{again}",)
        case OperationState.SUCCEEDED:
            return f"It is done: {view.spoken}.", (f"{failed}{again}",)
        case OperationState.STOPPED:
            return f"It was stopped after {view.spoken}.", (f"{failed}{again} Replay its job to continue there.",)
        case _:
            return f"It could not continue: {one.error}", (f" {view.spoken}.{failed}{again}",)


def _again(view: OperationView) -> str:
    if view.aftermath is None or not view.aftermath.failed:
        return ""
    count = view.aftermath.failed
    return f" {counted(count, 'job')} {'has' if count == 1 else 'have'} failed again since."
