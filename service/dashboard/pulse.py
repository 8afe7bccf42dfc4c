"""The pulse: one look at the ledger each second for all open pages, while there are any."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from fastapi.sse import format_sse_event

from service.errors import LedgerUnavailable
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.ledger.reads.counts import tally_totals
from service.web.places import Places

MAX_VIEWERS, MOST_OF_ONE = 200, 50
_LOOK_EVERY_S = 1.0
# Ages and heartbeats move even if nothing happens.
_TELL_AT_LEAST_EVERY = 5
# Rates cover the last ten seconds, and at least three.
_LOOKS_KEPT, _LEAST_LOOKS = 11, 4


class Viewer:
    """One open page: holds the newest tick until it is sent, so that a slow reader misses only old ones."""

    def __init__(self) -> None:
        self._tick: bytes | None = None
        self._news = asyncio.Event()

    def tell(self, tick: bytes | None) -> None:
        self._tick = tick
        self._news.set()

    async def next(self) -> bytes | None:
        """Return the next tick; None after `Pulse.dismiss`."""
        await self._news.wait()
        self._news.clear()
        return self._tick


class Pulse:
    """Reads the ledger's counts while anybody listens, and tells all viewers at once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._viewers: set[Viewer] = set()
        self.places = Places(most=MAX_VIEWERS, most_each=MOST_OF_ONE)
        self._looking: asyncio.Task[None] | None = None
        self._looks: deque[tuple[float, Mapping[str, int]]] = deque(maxlen=_LOOKS_KEPT)
        self.closing = False

    def rates(self) -> Mapping[str, float] | None:
        """Return how often each event happened a second, recently; None unless somebody has watched for a while."""
        if len(self._looks) < _LEAST_LOOKS:
            return None
        (began, first), (ended, last) = self._looks[0], self._looks[-1]
        return {event: (count - first.get(event, 0)) / (ended - began) for event, count in last.items()}

    @contextmanager
    def viewing(self, owner: str) -> Iterator[Viewer]:
        viewer = Viewer()
        self._viewers.add(viewer)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_while_viewed(), name="pulse")
        try:
            with self.places.taken_by(owner):
                yield viewer
        finally:
            self._viewers.discard(viewer)

    def dismiss(self) -> None:
        """Send all viewers away."""
        self.closing = True
        for viewer in self._viewers:
            viewer.tell(None)

    async def close(self) -> None:
        """Send all viewers away, and stop looking."""
        self.dismiss()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look_while_viewed(self) -> None:
        try:
            quiet = _TELL_AT_LEAST_EVERY
            while self._viewers:
                quiet = await self._look(quiet)
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            self._looks.clear()
            self._looking = None

    async def _look(self, quiet: int) -> int:
        """Look, and tell viewers what changed, or that it is quiet. Returns how many looks in a row found nothing."""
        try:
            now = await in_time(self._read())
        except LedgerUnavailable:
            self._tell("away", [])
            return 0
        before = self._looks[-1][1] if self._looks else {}
        self._looks.append((time.monotonic(), now))
        changed = sorted(event for event, count in now.items() if before.get(event) != count)
        if not changed and quiet < _TELL_AT_LEAST_EVERY:
            return quiet + 1
        self._tell("tick", changed)
        return 0

    async def _read(self) -> Mapping[str, int]:
        async with self._ledger.read() as connection:
            totals: dict[str, int] = {}
            for _, event, count in await tally_totals(connection):
                totals[event] = totals.get(event, 0) + count
            return totals

    def _tell(self, event: str, changed: list[str]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        tick = format_sse_event(event=event, data_str=json.dumps({"at": at, "changed": changed}))
        for viewer in self._viewers:
            viewer.tell(tick)
