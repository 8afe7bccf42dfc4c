"""What `arq worker_settings.WorkerSettings` runs: a worker for every kind of the catalogue.

With `--check` it is asked for a worker's health, by a probe that comes every few seconds: no kinds are loaded then,
nor is anything imported that only a worker needs.
"""

import sys
from pathlib import Path

from postlude_command import refuse_clashes


def _worker_settings() -> type:
    from pydantic import ValidationError

    from service.settings import describe_invalid

    try:
        return _of_a_check() if "--check" in sys.argv[1:] else _of_a_worker()
    except ValidationError as error:
        sys.exit(f"error: {describe_invalid(error)}")


def _of_a_check() -> type:
    import arq.cli

    from service.settings import QueueSettings
    from service.worker.check import check_health

    settings = QueueSettings()
    # arq's own asks six times, a second apart, whether Redis is there.
    arq.cli.check_health = lambda settings_cls: check_health(settings)  # type: ignore[attr-defined]
    return type("WorkerSettings", (), {})


def _of_a_worker() -> type:
    import jobs
    from service.settings import Settings
    from service.worker.arq_settings import make

    try:
        return make(Settings())
    except jobs.CatalogueError as error:
        sys.exit(f"error: {error}")


refuse_clashes(Path(__file__).parent, "jobs", "service")
from service.heap import gc_put_off  # noqa: E402 - only now is it known that it is ours

with gc_put_off():
    WorkerSettings = _worker_settings()
