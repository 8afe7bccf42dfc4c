"""A receiver that records which requests are in flight at every moment, and judges the limits of lanes only by that.

A request names its lanes in the query of its URL; see `LaneReceiver.url`. It is in flight from its arrival until its
answer is written or its client has hung up.
"""

import asyncio
import math
import select
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.support.receiver import Received, read_request

# Where the kernel does not tell of a half-closed connection, only a reset one counts as hung up before it is read.
HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


@dataclass(eq=False)
class Visit:
    """One request: attempt `attempt` of the job `job_id`, made by the process `pid`."""

    lanes: tuple[str, ...]
    number: int
    job_id: str
    attempt: int
    pid: int
    began: float
    ended: float = math.inf


@dataclass(eq=False)
class LaneReceiver:
    """Answers each request after the time that its URL says; a silent lane gets no answer until `speak()`."""

    visits: list[Visit] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    """What the answers of a lane say besides their status."""
    port: int = 0
    _here: dict[Visit, tuple[asyncio.StreamWriter, asyncio.Timeout]] = field(default_factory=dict)
    _seen: dict[tuple[str, ...], int] = field(default_factory=dict)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1000)
            self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            await self._server.wait_closed()
            self._server = None

    def url(self, *lanes: str, number: int = 0, hold_s: float = 0, refuse: int = 0) -> str:
        """Return where a job of `lanes` posts to; its first `refuse` requests are answered with 503."""
        query = {"lane": lanes, "number": number, "hold": hold_s, "refuse": refuse}
        return f"http://127.0.0.1:{self.port}/visit?{urlencode(query, doseq=True)}"

    def of(self, lane: str) -> list[Visit]:
        """Return the requests of a lane in the order of their arrival."""
        return [visit for visit in self.visits if lane in visit.lanes]

    def here(self, lane: str) -> list[Visit]:
        """Return the requests of a lane that are in flight."""
        self._see_off(lane)
        return [visit for visit in self._here if lane in visit.lanes]

    def speak(self, *lanes: str) -> None:
        """Answer all requests of a silent lane, past and future."""
        self.silent.difference_update(lanes)
        for visit, (_, patience) in self._here.items():
            if not self.silent.intersection(visit.lanes) and patience.when() is None:
                patience.reschedule(asyncio.get_running_loop().time())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                await self._answer(await read_request(reader), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = parse_qs(urlsplit(request.request_line.split()[1]).query)
        lanes = tuple(query["lane"])
        silent = self.silent.intersection(lanes)
        patience = asyncio.timeout(None if silent else float(query["hold"][0]))
        visit = self._arrived(lanes, query, request.headers, writer, patience)
        try:
            async with patience:
                await reader.read(1)  # nothing comes before the answer but the end of the connection
            raise ConnectionResetError
        except TimeoutError:
            pass
        finally:
            self._left(visit)
        status = "503 Service Unavailable" if self._is_refused(visit, query) else "200 OK"
        fields = {"content-length": "2"} | self.headers.get(lanes[0], {})
        head = "\r\n".join([f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())])
        writer.write(f"{head}\r\n\r\nok".encode())
        await writer.drain()

    def _arrived(
        self,
        lanes: tuple[str, ...],
        query: dict[str, list[str]],
        headers: dict[str, str],
        writer: asyncio.StreamWriter,
        patience: asyncio.Timeout,
    ) -> Visit:
        for lane in lanes:
            self._see_off(lane)
        job_id = query.get("job", [headers.get("webhook-id", "")])[0]
        attempt, pid = (int(query.get(name, ["0"])[0]) for name in ("attempt", "pid"))
        visit = Visit(lanes, int(query["number"][0]), job_id, attempt, pid, time.monotonic())
        self.visits.append(visit)
        self._here[visit] = writer, patience
        if _has_hung_up(writer):
            self._left(visit)
        return visit

    def _see_off(self, lane: str) -> None:
        """Leave out requests whose client is gone, even if this loop has not noticed yet."""
        gone = [visit for visit, (writer, _) in self._here.items() if lane in visit.lanes and _has_hung_up(writer)]
        for visit in gone:
            self._left(visit)

    def _left(self, visit: Visit) -> None:
        if self._here.pop(visit, None):
            visit.ended = time.monotonic()

    def _is_refused(self, visit: Visit, query: dict[str, list[str]]) -> bool:
        name = (*visit.lanes, str(visit.number))
        self._seen[name] = self._seen.get(name, 0) + 1
        return self._seen[name] <= int(query["refuse"][0])


def _has_hung_up(writer: asyncio.StreamWriter) -> bool:
    if (descriptor := writer.get_extra_info("socket").fileno()) < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, HUNG_UP)
    return bool(poll.poll(0))


def most_at_once(visits: Iterable[Visit]) -> int:
    """Return the largest number of requests that were in flight at one moment."""
    moments = sorted((at, step) for visit in visits for at, step in ((visit.began, 1), (visit.ended, -1)))
    here = most = 0
    for _, step in moments:
        here += step
        most = max(most, here)
    return most


def inversions(visits: Sequence[Visit]) -> list[tuple[int, int]]:
    """Return each arrival with a lower number than one before it, with that higher number."""
    found, highest = [], -1
    for visit in visits:
        if visit.number < highest:
            found.append((highest, visit.number))
        highest = max(highest, visit.number)
    return found


def beyond_rate(visits: Sequence[Visit], limit: int, per_s: float, slack_s: float = 0) -> float:
    """Return by how much the worst window exceeds the starts that a token bucket of capacity `limit` allows.

    `slack_s` is how much later than another's token a request may have arrived.
    """
    rate = limit / per_s
    worst = lowest = -math.inf
    for count, visit in enumerate(visits):
        lowest = max(lowest, visit.began * rate - count)
        worst = max(worst, count + 1 - visit.began * rate + lowest)
    return worst - limit - slack_s * rate
