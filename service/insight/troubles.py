"""What is wrong, in words: what it is, why, and what to do. One mechanism for pages, readiness and alerts."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from service.errors import LedgerUnavailable
from service.insight.facts import Facts, FactsReader
from service.insight.of_lanes import of_lanes
from service.insight.of_outcomes import of_outcomes
from service.insight.of_servers import of_away_ledger, of_servers
from service.insight.of_workers import of_workers
from service.insight.trouble import Action as Action
from service.insight.trouble import Section as Section
from service.insight.trouble import Severity as Severity
from service.insight.trouble import Trouble as Trouble
from service.ledger.deadline import in_time
from service.resources import Resources
from service.shared_reads import SharedReads

_FRESH_FOR_S = 1.0
_WORST_FIRST: Mapping[Severity, int] = {"wrong": 0, "warning": 1, "note": 2}


class Troubles:
    """Looks at most once a second, for all callers together."""

    def __init__(self, resources: Resources) -> None:
        self._reader = FactsReader(resources)
        self._looks = SharedReads(self._look, fresh_for_s=_FRESH_FOR_S)

    async def now(self) -> Sequence[Trouble]:
        """Return what is wrong, worst first. Never raises: a ledger that is away is itself a trouble."""
        return (await self._looks.of([""]))[""]

    async def counts(self) -> dict[Section, tuple[Severity, int]]:
        """Return, for each section with troubles, the worst severity and how many there are."""
        counted: dict[Section, tuple[Severity, int]] = {}
        for trouble in await self.now():
            worst, count = counted.get(trouble.section, (trouble.severity, 0))
            counted[trouble.section] = worst, count + 1
        return counted

    async def close(self) -> None:
        await self._reader.close()

    async def _look(self, names: Sequence[str]) -> Mapping[str, Sequence[Trouble]]:
        try:
            found = sorted_by_severity(words(await in_time(self._reader.read())))
        except LedgerUnavailable as error:
            found = [of_away_ledger(error)]
        return dict.fromkeys(names, found)


def words(facts: Facts) -> Iterator[Trouble]:
    """Put facts into words: a trouble for each thing that is wrong."""
    return chain(of_servers(facts), of_workers(facts), of_lanes(facts), of_outcomes(facts))


def sorted_by_severity(troubles: Iterator[Trouble]) -> list[Trouble]:
    """Sort worst first; within a severity, keep the order."""
    return sorted(troubles, key=lambda one: _WORST_FIRST[one.severity])
