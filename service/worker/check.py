"""`arq worker_settings.WorkerSettings --check`: looks at one key in Redis, and says in one line what is there.

Imports next to nothing, because it runs as a process of its own every few seconds wherever containers are probed.
"""

import logging
import socket

import redis

from service.queue_key import key_of
from service.settings import QueueSettings

_WITHIN_S = 2.0

log = logging.getLogger("arq.worker")


def health_check_key(settings: QueueSettings) -> str:
    """Name the key that a worker of this machine writes while its event loop turns."""
    return f"{key_of(settings.queues[0])}:health-check:{socket.gethostname()}"


def check_health(settings: QueueSettings) -> int:
    """Return the exit code of arq's CLI: 0 for a living worker, 1 for none or if Redis cannot be asked."""
    try:
        with redis.Redis.from_url(
            settings.redis_dsn, socket_timeout=_WITHIN_S, socket_connect_timeout=_WITHIN_S
        ) as client:
            said = client.get(health_check_key(settings))
    except (redis.RedisError, OSError) as error:
        log.error("Health check failed: Redis does not answer (%s). Check POSTLUDE_REDIS_URL.", error)
        return 1
    if not said:
        log.warning("Health check failed: no health check sentinel value found")
        return 1
    log.info("Health check successful: %s", said)
    return 0
