"""The watchtower: checks all watched jobs at once, at intervals, for all callers that wait for a change."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from service.errors import LedgerUnavailable, TooManyWatchers
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.ledger.reads import jobs as queries
from service.ledger.reads.jobs import JobVersion
from service.ledger.reads.log_lines import LinePosition, latest_lines
from service.ledger.states import TERMINAL

MAX_WATCHES = 1_000
# The cheaper a check, the more often it runs: checks take at most a twentieth of the time.
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.04, 0.25
_PAUSE_PER_LOOK = 20
_NOTHING = object()


class Watch:
    """One caller's view of one job: its newest `version` (None if the job is gone), or the `error` of the last look."""

    def __init__(self, job_id: str, *, of_log: bool = False) -> None:
        self.job_id = job_id
        self.of_log = of_log  # lines that are logged are news, too
        self.version: JobVersion | None = None
        self.error: LedgerUnavailable | None = None
        self._seen: object = _NOTHING
        self._told: object = _NOTHING
        self._news = asyncio.Event()

    async def changed(self, within_s: float) -> bool:
        """Wait for a new version of the job, or for the loss of the ledger. Return False if neither happens in time.

        The first call returns as soon as the job has been checked.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        if self.error is None:
            self._seen = self._told
        return True

    def forget(self) -> None:
        """Report the same version again at the next check, because it could not be used."""
        self._seen = _NOTHING

    def wake(self) -> None:
        """Make the caller return from `changed`."""
        self._news.set()

    def tell(self, version: JobVersion | None, line: LinePosition | None) -> None:
        """Take note of the job's version and its latest line."""
        self.version, self.error = version, None
        self._told = (version, line if self.of_log else None)
        if self._told != self._seen:
            self._news.set()

    def fail(self, error: LedgerUnavailable) -> None:
        if self.error is None:
            self._news.set()
        self.error = error


class Watchtower:
    """Asks the ledger once for all watches, while there are any."""

    def __init__(self, ledger: Ledger, *, max_watches: int = MAX_WATCHES) -> None:
        self._ledger = ledger
        self._max_watches = max_watches
        self._watches: set[Watch] = set()
        self._looking: asyncio.Task[None] | None = None
        self.closing = False

    @contextmanager
    def watch(self, job_id: str, *, room_checked: bool = False, of_log: bool = False) -> Iterator[Watch]:
        """Watch a job. Raises `TooManyWatchers`, unless the caller has checked the room and started its answer."""
        if not room_checked:
            self.check_room()
        watch = Watch(job_id, of_log=of_log)
        self._watches.add(watch)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_while_watched(), name="watchtower")
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    @property
    def has_room(self) -> bool:
        return len(self._watches) < self._max_watches

    def check_room(self) -> None:
        """Raise `TooManyWatchers` if there is no room for another watch."""
        if not self.has_room:
            raise TooManyWatchers(
                f"All {self._max_watches} places for callers that wait for jobs are taken. Ask again later."
            )

    async def wait_for_end(self, job_id: str, within_s: float) -> None:
        """Wait until the job is terminal or gone, or the time is up. Raises `LedgerUnavailable`."""
        deadline = time.monotonic() + within_s
        with self.watch(job_id) as watch:
            while await watch.changed(max(0, deadline - time.monotonic())):
                if self.closing:
                    return
                if watch.error is not None:
                    raise watch.error
                if watch.version is None or watch.version.state in TERMINAL:
                    return

    def dismiss(self) -> None:
        """Send all callers away."""
        self.closing = True
        for watch in self._watches:
            watch.wake()

    async def close(self) -> None:
        """Send all callers away, and stop looking."""
        self.dismiss()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look_while_watched(self) -> None:
        try:
            while self._watches:
                began = time.monotonic()
                await self._look()
                pause_s = (time.monotonic() - began) * _PAUSE_PER_LOOK
                await asyncio.sleep(min(max(pause_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S))
        finally:
            self._looking = None

    async def _look(self) -> None:
        watches = list(self._watches)
        try:
            of_log = {watch.job_id for watch in watches if watch.of_log}
            versions, lines = await in_time(self._read({watch.job_id for watch in watches}, of_log))
        except LedgerUnavailable as error:
            for watch in watches:
                watch.fail(error)
            return
        for watch in watches:
            watch.tell(versions.get(watch.job_id), lines.get(watch.job_id))

    async def _read(
        self, ids: set[str], of_log: set[str]
    ) -> tuple[Mapping[str, JobVersion], Mapping[str, LinePosition]]:
        async with self._ledger.read() as connection:
            versions = await queries.versions_of(connection, ids)
            return versions, await latest_lines(connection, of_log) if of_log else {}
