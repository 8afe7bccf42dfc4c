"""Opens, in one `async with`, what the API and the worker hold for their whole life, and closes it in reverse."""

import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
import uuid_utils
from arq.connections import ArqRedis

from jobs import Catalogue
from service.data_dir import make_data_dir
from service.errors import QueueUnknown
from service.feature import Capabilities, Feature, belongings_of
from service.hooks import Hooks
from service.ledger.database import STATEMENT_LIMIT_S
from service.ledger.ledger import Ledger
from service.outbound import open_http
from service.queue import Queue, open_redis
from service.retention import Retention
from service.settings import Settings


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
        """The queues that jobs may be put on: those worked here, and those that kinds name."""
        return {*self.settings.queues, *(kind.queue for kind in self.catalogue.values())}

    def check_queue(self, queue: str | None) -> None:
        """Raise `QueueUnknown` for a queue that nobody would work; None stands for the kind's own."""
        if queue is not None and queue not in self.known_queues:
            raise QueueUnknown(f"The queue is unknown. Known are: {', '.join(sorted(self.known_queues))}.")


@dataclass(frozen=True)
class JobResources:
    """What only performing jobs needs."""

    http: httpx.AsyncClient
    capabilities: Capabilities
    retention: Retention


def new_process_id() -> str:
    """Name this process for the ledger, legibly: host, pid, and something that never comes again."""
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
        )
        ledger = await stack.enter_async_context(opening)
        if redis is None:
            redis = open_redis(settings.redis_dsn)
            stack.push_async_callback(redis.aclose, close_connection_pool=True)
        yield Resources(settings, catalogue, new_process_id(), ledger, Queue(redis), features)


@asynccontextmanager
async def open_job_resources(resources: Resources) -> AsyncIterator[JobResources]:
    """Open what attempts use: HTTP, and what the features can do for them."""
    settings, ledger = resources.settings, resources.ledger
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(open_http(settings.webhook_allow, max_connections=settings.max_jobs))
        capabilities: dict[type[Any], Any] = {}
        for feature in resources.features:
            if feature.capability is not None:
                capabilities |= await stack.enter_async_context(feature.capability(settings, ledger))
        yield JobResources(http, capabilities, Retention(settings, ledger, resources.features))
