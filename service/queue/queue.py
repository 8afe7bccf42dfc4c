"""The queue as the rest of the service sees it."""

from arq.connections import ArqRedis

from service.queue.arq_protocol import ArqProtocol
from service.queue.claiming import Claiming
from service.queue.idling import Idling
from service.queue.mending import Mending
from service.queue.putting import Putting


class Queue(Putting, Claiming, Idling, Mending):
    """The ids in one Redis. `arq` keeps arq's protocol for the jobs of plain arq clients.

    Every method raises one of `UNREACHABLE` when Redis does not answer.
    """

    def __init__(self, redis: ArqRedis) -> None:
        super().__init__(redis)
        self.arq = ArqProtocol(redis)
