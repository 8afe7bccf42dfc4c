"""What the API and the worker hold for their whole life, opened in one `async with` and closed in reverse."""

import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property

import uuid_utils
from arq.connections import ArqRedis

from jobs import Catalogue
from jobs.kit.names import did_you_mean
from service.data_dir import make_data_dir
from service.errors import QueueUnknown
from service.feature import Feature, belongings_of
from service.hooks import Hooks
from service.ledger.database import STATEMENT_LIMIT_S
from service.ledger.ledger import Ledger
from service.queue import Queue, open_redis
from service.settings import Settings
from service.vault import Vault


@dataclass(frozen=True)
class Resources:
    """What lives as long as the process. `process_id` is new with each start."""

    settings: Settings
    catalogue: Catalogue
    process_id: str
    ledger: Ledger
    queue: Queue
    features: Sequence[Feature] = ()

    @cached_property
    def hooks(self) -> Hooks:
        """The hooks of all features."""
        return Hooks.joined(feature.hooks for feature in self.features)

    @property
    def known_queues(self) -> set[str]:
        """The queues that jobs may be put on: the ones served here, and the ones that kinds name."""
        return {*self.settings.queues, *(kind.queue for kind in self.catalogue.values())}

    def check_queue(self, queue: str | None) -> None:
        """Raise `QueueUnknown` for a queue that no worker would serve; None stands for the kind's own."""
        if queue is not None and queue not in self.known_queues:
            known = sorted(self.known_queues)
            raise QueueUnknown(f"The queue is unknown.{did_you_mean(queue, known)} Known queues: {', '.join(known)}.")


def new_process_id() -> str:
    """Return a readable, unique name of this process for the ledger: host, pid, and a random part."""
    return f"{socket.gethostname()[:30]}-{os.getpid()}-{uuid_utils.uuid7().hex[-12:]}"


@asynccontextmanager
async def open_resources(
    settings: Settings,
    catalogue: Catalogue,
    redis: ArqRedis | None = None,
    *,
    features: Sequence[Feature] = (),
    statement_limit_s: float = STATEMENT_LIMIT_S,
) -> AsyncIterator[Resources]:
    """Open the ledger and the queue; neither server needs to answer yet. A given `redis` stays the caller's."""
    make_data_dir(settings.data_dir)
    async with AsyncExitStack() as stack:
        opening = Ledger.open(
            settings.sqlalchemy_url,
            retention=settings.retention,
            belongings=belongings_of(features),
            statement_limit_s=statement_limit_s,
            vault=Vault(settings.secret_keys),
        )
        ledger = await stack.enter_async_context(opening)
        if redis is None:
            redis = open_redis(settings.redis_dsn)
            stack.push_async_callback(redis.aclose, close_connection_pool=True)
        yield Resources(settings, catalogue, new_process_id(), ledger, Queue(redis), features)
