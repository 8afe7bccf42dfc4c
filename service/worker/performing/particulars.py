"""What an attempt is given before it begins, if its job's traits say that there is anything."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.kit.results import Parent
from jobs.kit.steps import Given
from service.ledger.ledger import Ledger
from service.ledger.models import Started
from service.ledger.reads import particulars as queries
from service.ledger.traits import PREPARED, Trait
from service.own_retry import own_retry_of
from service.shared_reads import SharedReads

_MOST_IN_A_QUERY = 50  # few, because each job may have kept 8 MiB

# Plain numbers, see `traits.FOLLOWED`.
_READ = PREPARED & ~Trait.PARENTS.value

Prepared = tuple[Started, Given]


class Particulars:
    """Reads what attempts are given, together for all attempts that begin at the same moment."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._asking: dict[str, Started] = {}
        self._reads = SharedReads(self._read, fresh_for_s=0, at_once=_MOST_IN_A_QUERY)

    async def of(self, started: Started) -> Prepared:
        """Return the attempt with its job's own retry policy, and what to give it. Raises `LedgerUnavailable`.

        Most children need only the parents that came with the start.
        """
        if started.parents is not None and not started.traits & _READ:
            return started, Given(parents=started.parents)
        name = f"{started.attempt}:{started.id}"
        self._asking[name] = started
        return (await self._reads.of([name]))[name]

    async def _read(self, names: Sequence[str]) -> dict[str, Prepared]:
        # The first caller may be gone by now, but others wait for the same answer.
        asking = [self._asking.pop(name) for name in names]
        async with self._ledger.read() as connection:
            return dict(zip(names, await _prepare(connection, asking), strict=True))


async def _prepare(connection: AsyncConnection, attempts: Sequence[Started]) -> list[Prepared]:
    def having(trait: Trait) -> list[str]:
        return [started.id for started in attempts if started.traits & trait.value]

    known: Mapping[str, Sequence[Parent]] = {one.id: one.parents for one in attempts if one.parents is not None}
    children = [job_id for job_id in having(Trait.PARENTS) if job_id not in known]
    keeping, own = having(Trait.STEPS), having(Trait.RETRY)
    parents = {**known, **(await queries.parents_of(connection, children) if children else {})}
    steps = await queries.steps_of(connection, keeping) if keeping else {}
    checkpoints = await queries.checkpoints_of(connection, keeping) if keeping else {}
    retries = await queries.retries_of(connection, own) if own else {}
    prepared: list[Prepared] = []
    for started in attempts:
        given = Given(dict(steps.get(started.id, ())), checkpoints.get(started.id), tuple(parents.get(started.id, ())))
        if (retry := retries.get(started.id)) is not None:
            started = started._replace(retry=own_retry_of(retry.policy), retry_until=retry.until)
        prepared.append((started, given))
    return prepared
