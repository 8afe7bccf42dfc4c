"""A schedule as it is carried out, whether a kind declares it or a user has made it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Literal

from sqlalchemy import RowMapping

from jobs import Catalogue, Kind
from jobs.kit.cron import Expression, expression
from service.ledger.records.schedules import CatchUp
from service.ledger.records.ticked import Overlap
from service.ledger.sealed import SCHEDULE_ARGS
from service.lifecycle.schedules.stored_options import read_options
from service.options import NO_OPTIONS, Options
from service.vault import Vault

Source = Literal["code", "api"]
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Plan:
    """When a schedule comes due, and what it enqueues. `args` are JSON, as stored; None: the kind's defaults.

    `revision` comes from its row; None: it has none.
    """

    name: str
    source: Source
    kind: str
    expression: Expression
    catch_up: CatchUp
    overlap: Overlap = "allow"
    jitter_s: float = 0.0
    start: datetime | None = None
    end: datetime | None = None
    paused: bool = False
    revision: int | None = None
    args: str | None = None
    options: Options = NO_OPTIONS

    @property
    def cron(self) -> str:
        return self.expression.text

    def opened_args(self, vault: Vault) -> str | None:
        """Return the args with their secrets in clear. Raises `SecretUnreadable`."""
        return None if self.args is None else SCHEDULE_ARGS.open(vault, self.args, self.name)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the due times after `moment`."""
        begin = self._in_window(moment)
        coming = self.expression.after(begin)
        return coming if self.end is None else takewhile(self.end.__ge__, coming)

    def between(self, since: datetime, until: datetime, most: int) -> list[datetime]:
        """Return the latest `most` due times after `since` and up to `until`, oldest first."""
        begin = self._in_window(since)
        end = until if self.end is None else min(until, self.end)
        return self.expression.between(begin, end, most) if begin < end else []

    def _in_window(self, moment: datetime) -> datetime:
        return moment if self.start is None or self.start <= moment else self.start - _INSTANT

    def run_at(self, due_at: datetime) -> datetime:
        """Return when the job of a tick runs: within the jitter, and the same in every process."""
        if not self.jitter_s:
            return due_at
        digest = hashlib.sha256(f"{self.name}\n{due_at.timestamp()}".encode()).digest()
        return due_at + timedelta(seconds=int.from_bytes(digest[:6]) / 2**48 * self.jitter_s)


def plan_of_kind(kind: Kind[Any, Any], row: RowMapping | None) -> Plan:
    """Make the plan of a kind with a cron expression; its row says whether it is paused."""
    assert kind.catch_up is not None
    plan = Plan(kind.name, "code", kind.name, kind.expression, kind.catch_up)
    return plan if row is None else replace(plan, paused=bool(row["paused"]), revision=row["revision"])


def plan_of_row(row: RowMapping) -> Plan:
    """Make the plan of a schedule that was made at run time.

    Raises `CronInvalid` if its expression or its time zone cannot be used here.
    """
    return Plan(
        name=row["name"],
        source="api",
        kind=row["kind"],
        expression=expression(row["cron"], row["time_zone"]),
        catch_up=row["catch_up"],
        overlap=row["overlap"],
        jitter_s=row["jitter_s"],
        start=row["start_at"],
        end=row["end_at"],
        paused=bool(row["paused"]),
        revision=row["revision"],
        args=row["sealed_args"] or row["args"],
        options=read_options(row["options"]),
    )


def kinds_with_ticks(catalogue: Catalogue) -> dict[str, Kind[Any, Any]]:
    """Return the kinds with a schedule of their own, by name."""
    return {name: catalogue[name] for name in sorted(catalogue) if catalogue[name].cron is not None}
