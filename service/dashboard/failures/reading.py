"""What the page of failures and the page of one group show."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from service.dashboard.failures.query import Asked
from service.dashboard.operations.view import OperationView, views_of
from service.dashboard.text import span_text
from service.errors import FailureNotFound
from service.insight.words import Time, Words
from service.ledger.ledger import Ledger
from service.ledger.reads.estimates import Count, count_matching
from service.ledger.reads.failures import SEVERAL, FailureGroup, failure_series, find_group, groups
from service.ledger.reads.listing import Filter, list_jobs
from service.ledger.reads.operations import live_operations
from service.ledger.reads.troubled import growing_groups
from service.ledger.states import State
from service.words import counted

_MOST_GROUPS = 100
_MOST_LIVE = 3
_MOST_JOBS = 20
_LONGEST_TITLE = 160


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group: `title` says what failed, `where` at which place and with whom. `lately` is set if it grows."""

    group: FailureGroup
    title: str
    where: str
    series: Sequence[int]
    spoken: str
    lately: int | None


@dataclass(frozen=True, slots=True)
class FailuresPage:
    asked: Asked
    rows: Sequence[GroupRow]
    live: Sequence[OperationView]
    headline: str
    answer: Words
    kinds: Sequence[str]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class GroupPage:
    """A group with its newest failed jobs; `failed` is how many it has now."""

    row: GroupRow
    live: Sequence[OperationView]
    headline: str
    answer: Words
    failed: Count
    jobs: Sequence[RowMapping]


async def read_failures(ledger: Ledger, asked: Asked, now: datetime, *, sees_args: bool = True) -> FailuresPage:
    """Read the groups that failed recently."""
    async with ledger.read() as connection:
        found = await groups(
            connection,
            since=now - asked.span,
            kind=asked.kind,
            text=asked.text,
            sort=asked.sort,
            limit=_MOST_GROUPS + 1,
        )
        rows = await _rows(connection, found[:_MOST_GROUPS], asked, now)
        under_way = await live_operations(connection, _MOST_LIVE)
        live = await views_of(connection, under_way, now, with_aftermath=True, sees_args=sees_args)
    headline, answer = _verdict(rows, live, asked)
    kinds = sorted({row.group.kind for row in rows})
    return FailuresPage(asked, rows, live, headline, answer, kinds, is_cut=len(found) > _MOST_GROUPS)


async def read_group(
    ledger: Ledger, fingerprint: str, asked: Asked, now: datetime, *, sees_args: bool = True
) -> GroupPage:
    """Read a group, with its newest failed jobs. Raises `FailureNotFound`."""
    wanted = failed_jobs_of(fingerprint)
    async with ledger.read() as connection:
        group = await find_group(connection, fingerprint, since=now - asked.span)
        if group is None:
            raise FailureNotFound(f"No failure has the fingerprint {fingerprint!r}. It may be past its retention.")
        [row] = await _rows(connection, [group], asked, now)
        failed = await count_matching(connection, wanted)
        jobs = await list_jobs(connection, wanted, _MOST_JOBS)
        under_way = [one for one in await live_operations(connection, _MOST_LIVE) if fingerprint in one.filter]
        live = await views_of(connection, under_way, now, with_aftermath=True, sees_args=sees_args)
    return GroupPage(row, live, _growth(row), _cost(row, asked), failed, jobs)


def failed_jobs_of(fingerprint: str) -> Filter:
    """Return the filter for a group's failed jobs."""
    return Filter(states=(State.FAILED,), fingerprint=fingerprint)


async def _rows(
    connection: AsyncConnection, found: Sequence[FailureGroup], asked: Asked, now: datetime
) -> Sequence[GroupRow]:
    names = [group.fingerprint for group in found]
    series = await failure_series(connection, names, since=now - asked.span, until=now, step=asked.step)
    growing = {name: lately for name, lately, _ in await growing_groups(connection, now)}
    return [
        GroupRow(
            group,
            title_of(group),
            where_of(group),
            series[group.fingerprint],
            f"Failures per {span_text(asked.step.total_seconds())}, in the last {asked.words}",
            growing.get(group.fingerprint),
        )
        for group in found
    ]


def title_of(group: FailureGroup) -> str:
    """Say what failed: the message, with its type if the message says little."""
    message = " ".join(group.message.split())
    if not message:
        return group.error_type
    title = message if " " in message else f"{group.error_type}: {message}"
    return title if len(title) <= _LONGEST_TITLE else f"{title[:_LONGEST_TITLE]}…"


def where_of(group: FailureGroup) -> str:
    """Name its type, its place and its destination: `ConnectError at connect.py:61, hooks.example.com`."""
    place = f" at {group.place}" if group.place else ""
    match group.destination:
        case None:
            destination = ""
        case str(several) if several == SEVERAL:
            destination = ", several destinations"
        case key:
            destination = f", {key.partition(':')[2] or key}"
    return f"{group.error_type}{place}{destination}"


def _verdict(rows: Sequence[GroupRow], live: Sequence[OperationView], asked: Asked) -> tuple[str, Words]:
    growing = [row for row in rows if row.lately is not None]
    if not rows and (asked.kind or asked.text):
        return f"No failures in the last {asked.words} match.", ()
    if not rows:
        return f"Nothing failed in the last {asked.words}.", ()
    failed = sum(row.group.jobs_failed for row in rows)
    cost = f"; {counted(failed, 'job')} ended by them, including jobs replayed since" if failed else " and cost no job"
    told = f" {counted(len(rows), 'group')} failed in the last {asked.words}{cost}."
    under_way = _replayed(rows, [one for one in live if one.operation.action == "replay"])
    if len(growing) == 1:
        return f"One group is growing: {growing[0].title}.", (told, under_way)
    return f"{len(growing) or 'No'} {'groups are' if growing else 'group is'} growing.", (told, under_way)


def _replayed(rows: Sequence[GroupRow], replays: Sequence[OperationView]) -> str:
    if not replays:
        return ""
    largest = max(rows, key=lambda row: row.group.jobs_failed).group.fingerprint
    if len(replays) == 1:
        whom = "the largest group" if largest in replays[0].operation.filter else "jobs"
        return f" An operation is replaying {whom}."
    return f" {len(replays)} operations are replaying jobs."


def _growth(row: GroupRow) -> str:
    return "It is not growing." if row.lately is None else f"It is growing: {row.lately:,} failures in the last 10 min."


def _cost(row: GroupRow, asked: Asked) -> Words:
    failures = f" {counted(row.group.failures, 'failure')} in the last {asked.words}, first seen "
    cost = f" {counted(row.group.jobs_failed, 'job')} failed for good with it." if row.group.jobs_failed else ""
    return failures, Time(row.group.first_at), ", last seen ", Time(row.group.latest_at), f".{cost}"
