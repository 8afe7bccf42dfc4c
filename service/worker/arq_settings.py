"""The settings of our worker for arq's CLI."""

import os

import arq.worker
import structlog

import jobs
from jobs.kit.hidden import hidden_by_ours
from service import logs
from service.queue import arq_settings, deserialize, key_of, open_redis, serialize
from service.settings import Settings, describe_unknown
from service.worker import check
from service.worker.functions import kind_functions
from service.worker.startup import Startup
from service.worker.worker import Worker

log = structlog.get_logger(__name__)


def make(settings: Settings) -> type:
    """Make the class that arq's CLI reads, for a worker of every kind. Raises `jobs.CatalogueError`."""
    catalogue = jobs.load(settings.jobs)
    logs.configure(settings.log_level, settings.log_format)
    for sentence in describe_unknown(os.environ):
        log.warning("setting_unknown", reason=sentence)
    for sentence in hidden_by_ours() if settings.jobs else ():
        log.warning("package_hidden", reason=sentence)
    startup = Startup(settings, catalogue)
    if not settings.stock_worker:
        # arq's CLI looks `arq.worker.Worker` up by name, and has no option for another class.
        arq.worker.Worker = Worker  # type: ignore[misc]

    class WorkerSettings:
        """Read by arq's CLI: each name is an argument of its worker."""

        functions = kind_functions(catalogue)
        queue_name = key_of(settings.queues[0])
        redis_pool = open_redis(settings.redis_dsn)
        redis_settings = arq_settings(settings.redis_dsn)  # for arq's own check, which takes no pool
        on_startup = startup.start_up
        on_shutdown = startup.shut_down
        max_jobs = settings.max_jobs
        job_completion_wait = settings.grace_s
        health_check_interval = 5  # as arq's own class takes it; ours writes the key more often
        health_check_key = check.health_check_key(settings)
        job_serializer = staticmethod(serialize)
        job_deserializer = staticmethod(deserialize)
        log_results = False

    return WorkerSettings
