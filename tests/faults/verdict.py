"""The verdict: what became of every accepted job, by the ledger and by the side effects, of lanes' limits and flows."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import RowMapping, func, select

from service.audit_report import make_report
from service.ledger.reads import jobs as queries
from service.ledger.states import TERMINAL, Outcome, State
from service.tables import jobs
from tests.faults.flow_verdict import wrong_flows
from tests.faults.lane_limits import broken_limits
from tests.faults.load import Load
from tests.faults.system import System
from tests.support.running import eventually

_PIECE = 500


@dataclass(frozen=True)
class Verdict:
    """The figures of one run, in which every promise held."""

    accepted: int
    lost: int
    doubled: int
    """Side effects beyond the first of their job."""
    crashed: int
    """Attempts that ended `crashed`."""
    rows: Mapping[str, RowMapping]
    attempts: Mapping[str, Sequence[RowMapping]]

    @property
    def figures(self) -> dict[str, float]:
        return {"accepted": self.accepted, "lost": self.lost, "doubled": self.doubled}

    def outcomes(self, job_id: str) -> list[str]:
        return [attempt["outcome"] for attempt in self.attempts[job_id]]

    def recovered_after_s(self, healed_at: datetime, load: Load) -> float:
        """Return how long after `healed_at` the last of the jobs accepted before it began its last attempt."""
        before = [self.attempts[job_id][-1] for job_id, at in load.accepted.items() if at <= healed_at]
        waits: list[float] = [(last["started_at"].astimezone(UTC) - healed_at).total_seconds() for last in before]
        return round(max([0.0, *waits]), 1)


async def all_ended(system: System, within_s: float) -> None:
    """Wait until no job is waiting or running."""
    async with system.ledger() as ledger:
        living: dict[str, int] = {}

        async def none_lives() -> bool:
            async with ledger.read() as connection:
                counted = select(jobs.c.state, func.count()).where(jobs.c.state.not_in(TERMINAL)).group_by(jobs.c.state)
                living.clear()
                living.update((row[0], row[1]) for row in await connection.execute(counted))
            return not living

        try:
            await eventually(none_lives, within_s)
        except TimeoutError:
            raise AssertionError(f"after {within_s:g} s jobs are still {living}; see {system.folder}") from None


async def verdict(
    system: System,
    load: Load,
    *,
    within_s: float = 90,
    may_fail: Sequence[str] = (),
    check_effects: bool = True,
    frozen: Collection[int] = (),
) -> Verdict:
    """Wait until all jobs have ended, then check every accepted one; `may_fail` are ids that may end `failed`.

    `frozen` are pids of workers that were frozen past their leases: what they still do, no lane's limits can count.
    """
    await all_ended(system, within_s)
    adopted = await _adopted(system, load)
    accepted = [job_id for part in load.parts for job_id in part.accepted]
    rows, attempts = await _read(system, [*accepted, *adopted])
    wrong = [f"{job_id}: no row" for job_id in accepted if job_id not in rows]
    for job_id, row in rows.items():
        wrong += [f"{job_id}: {what}" for what in wrong_with(row, attempts[job_id], may_fail=job_id in may_fail)]
    effects = system.effects()
    if check_effects:
        wrong += [
            f"{job_id}: succeeded without its side effect"
            for job_id, row in rows.items()
            if row["state"] == State.SUCCEEDED and not effects[job_id]
        ]
    for part in load.parts:
        wrong += await _never_accepted(system, part, adopted)
    wrong += broken_limits(system.receiver, ignoring=frozen)
    for plan in load.flows:
        plan.settle()
    wrong += await wrong_flows(system, load.flows)
    async with system.ledger() as ledger:
        audited = await make_report(ledger)
    wrong += audited.lines() if audited.total else []
    assert not wrong, f"{len(wrong)} of {len(accepted)} jobs; see {system.folder}\n" + "\n".join(wrong[:20])
    outcomes = Counter(attempt["outcome"] for tried in attempts.values() for attempt in tried)
    return Verdict(
        accepted=len(rows),
        lost=0,
        doubled=sum(effects[job_id] - 1 for job_id in rows if effects[job_id] > 1),
        crashed=outcomes[Outcome.CRASHED],
        rows=rows,
        attempts=attempts,
    )


def wrong_with(row: RowMapping, tried: Sequence[RowMapping], *, may_fail: bool = False) -> list[str]:
    """Say what is wrong with one job and its attempts."""
    outcomes = [attempt["outcome"] for attempt in tried]
    wrong = []
    if row["state"] != State.SUCCEEDED and not (may_fail and row["state"] == State.FAILED):
        wrong.append(f"ended {row['state']} ({row['error_type']}: {row['error_message']}) after {outcomes}")
    if [attempt["number"] for attempt in tried] != list(range(1, row["attempt"] + 1)):
        wrong.append(f"attempts {[attempt['number'] for attempt in tried]}, the job counts {row['attempt']}")
    if any(outcome is None for outcome in outcomes) or any(attempt["finished_at"] is None for attempt in tried):
        wrong.append(f"an attempt was never closed: {outcomes}")
    if outcomes.count(Outcome.SUCCEEDED) != (row["state"] == State.SUCCEEDED):
        wrong.append(f"{row['state']} with the outcomes {outcomes}")
    if Outcome.SUCCEEDED in outcomes[:-1]:
        wrong.append(f"went on after it had succeeded: {outcomes}")
    return wrong


async def _adopted(system: System, load: Load) -> set[str]:
    """Find the jobs of the load's kind that came from a plain arq client."""
    async with system.ledger() as ledger, ledger.read() as connection:
        statement = select(jobs.c.id).where(jobs.c.kind == load.kind, jobs.c.arq_id.is_not(None))
        return set((await connection.execute(statement)).scalars())


async def _never_accepted(system: System, load: Load, adopted: set[str]) -> list[str]:
    """Find jobs of the load's kind that no client was told of: a key that was sent again has made a second job."""
    async with system.ledger() as ledger, ledger.read() as connection:
        found = set((await connection.execute(select(jobs.c.id).where(jobs.c.kind == load.kind))).scalars())
    return [
        f"{job_id}: in the ledger, but no client was told of it"
        for job_id in sorted(found - adopted - set(load.accepted))
    ]


async def _read(system: System, ids: Sequence[str]) -> tuple[dict[str, RowMapping], dict[str, list[RowMapping]]]:
    rows: dict[str, RowMapping] = {}
    attempts: dict[str, list[RowMapping]] = {}
    async with system.ledger() as ledger, ledger.read() as connection:
        for first in range(0, len(ids), _PIECE):
            piece = ids[first : first + _PIECE]
            found = await connection.execute(select(jobs).where(jobs.c.id.in_(piece)))
            rows |= {row["id"]: row for row in found.mappings()}
            attempts |= await queries.get_attempts(connection, piece)
    return rows, attempts
