"""The queue as the rest of the service sees it."""

from arq.connections import ArqRedis

from service.queue.arq_protocol import ArqProtocol
from service.queue.claiming import Claiming
from service.queue.idling import Idling
from service.queue.keys import STOCK_WORKER
from service.queue.lanes import Lanes
from service.queue.mending import Mending
from service.queue.putting import Putting

# Its worker announces itself again every 10 s.
_STOCK_WORKER_KNOWN_S = 30


class Queue(Putting, Claiming, Idling, Mending):
    """The ids in one Redis. `arq` keeps arq's protocol for the jobs of plain arq clients; `lanes` are what they share.

    Every method raises one of `UNREACHABLE` if Redis does not answer.
    """

    def __init__(self, redis: ArqRedis) -> None:
        super().__init__(redis)
        self.arq = ArqProtocol(redis)
        self.lanes = Lanes(redis, self._scripts)

    async def mark_stock_worker(self) -> None:
        """Announce, for a while, that arq's own worker class is at work."""
        await self.redis.set(STOCK_WORKER, b"1", ex=_STOCK_WORKER_KNOWN_S)

    async def stock_worker_runs(self) -> bool:
        """Whether arq's own worker class is at work, which knows neither lanes nor pauses."""
        return bool(await self.redis.exists(STOCK_WORKER))
