"""Opens, in one `async with`, what the API and the worker hold for their whole life, and closes it in reverse."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import uuid_utils
from arq.connections import ArqRedis

from jobs import Catalogue
from jobs.kit.context import Mailer
from jobs.stats.tables import counted_jobs, mail_recipients
from service.data_dir import make_data_dir
from service.errors import QueueUnknown
from service.files.local_files import LocalFiles
from service.ledger.database import STATEMENT_LIMIT_S
from service.ledger.ledger import Ledger
from service.ledger.records.purged import rows_of_jobs
from service.mail.smtp import SmtpMailer
from service.outbound import open_http
from service.queue import Queue, open_redis
from service.settings import Settings


@dataclass(frozen=True)
class Resources:
    """What lives as long as the process. `process_id` is new with each start."""

    settings: Settings
    catalogue: Catalogue
    process_id: str
    ledger: Ledger
    queue: Queue

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
    mailer: Mailer
    files: LocalFiles


def new_process_id() -> str:
    """Name this process for the ledger, legibly: host, pid, and something that never comes again."""
    return f"{socket.gethostname()[:30]}-{os.getpid()}-{uuid_utils.uuid7().hex[-12:]}"


@asynccontextmanager
async def open_resources(
    settings: Settings,
    catalogue: Catalogue,
    redis: ArqRedis | None = None,
    *,
    statement_limit_s: float = STATEMENT_LIMIT_S,
) -> AsyncIterator[Resources]:
    """Open the ledger and the queue; neither server needs to answer yet. A given `redis` stays the caller's."""
    make_data_dir(settings.data_dir)
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(
            Ledger.open(
                settings.sqlalchemy_url,
                retention=settings.retention,
                belongings=[rows_of_jobs(counted_jobs), rows_of_jobs(mail_recipients)],
                statement_limit_s=statement_limit_s,
            )
        )
        if redis is None:
            redis = open_redis(settings.redis_dsn)
            stack.push_async_callback(redis.aclose, close_connection_pool=True)
        yield Resources(settings, catalogue, new_process_id(), ledger, Queue(redis))


@asynccontextmanager
async def open_job_resources(settings: Settings) -> AsyncIterator[JobResources]:
    """Open what attempts use: HTTP, mail, files."""
    smtp_url = settings.smtp_url.get_secret_value() if settings.smtp_url else None
    mailer = SmtpMailer.open(
        smtp_url,
        socket=settings.socket_path("inbox.sock"),
        default_sender=settings.mail_from,
        tls=settings.smtp_tls,
        ca_file=settings.smtp_ca_file,
    )
    async with open_http(settings.webhook_allow, max_connections=settings.max_jobs) as http:
        yield JobResources(http=http, mailer=mailer, files=LocalFiles(settings.files_dir))
