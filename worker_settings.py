"""What `arq worker_settings.WorkerSettings` runs: a worker for every kind of the catalogue."""

import os
import socket
import sys

import arq.worker
import structlog
from pydantic import ValidationError

import jobs
from service import logs
from service.queue import arq_settings, deserialize, key_of, open_redis, serialize
from service.settings import Settings, describe_invalid, describe_unknown
from service.worker.functions import kind_functions
from service.worker.startup import Startup
from service.worker.worker import Worker

try:
    _settings = Settings()
    _catalogue = jobs.load(_settings.jobs)
except ValidationError as error:
    sys.exit(f"error: {describe_invalid(error)}")
except jobs.CatalogueError as error:
    sys.exit(f"error: {error}")

logs.configure(_settings.log_level, _settings.log_format)
for _sentence in describe_unknown(os.environ):
    structlog.get_logger(__name__).warning("setting_unknown", reason=_sentence)
_startup = Startup(_settings, _catalogue)

if not _settings.stock_worker:
    # arq's CLI builds `arq.worker.Worker` by that name and has no option for another class.
    arq.worker.Worker = Worker  # type: ignore[misc]


class WorkerSettings:
    """Read by arq's CLI: each name is an argument of its worker."""

    functions = kind_functions(_catalogue)
    queue_name = key_of(_settings.queues[0])
    redis_pool = open_redis(_settings.redis_dsn)
    redis_settings = arq_settings(_settings.redis_dsn)  # for --check, which takes no pool
    on_startup = _startup.start_up
    on_shutdown = _startup.shut_down
    max_jobs = _settings.max_jobs
    job_completion_wait = _settings.grace_s
    health_check_interval = 5  # as arq's own class takes it; ours writes the key more often
    health_check_key = f"{queue_name}:health-check:{socket.gethostname()}"
    job_serializer = staticmethod(serialize)
    job_deserializer = staticmethod(deserialize)
    log_results = False
