"""What an attempt is given: its timeout, and its `Context`."""

from datetime import timedelta
from typing import Any

from jobs import Context, Kind
from jobs.kit.outcomes import to_timedelta
from service.ledger.models import Started
from service.lifecycle.lifecycle import Lifecycle
from service.options import Options
from service.resources import Resources
from service.worker.job_resources import JobResources
from service.worker.performing.progress import ProgressNotes


def timeout_of(started: Started, kind: Kind[Any, Any]) -> float:
    """Return the attempt's timeout in seconds: the job's own, else its kind's."""
    return kind.timeout.total_seconds() if started.timeout_s is None else started.timeout_s


class Contexts:
    """Contexts over the resources of one process."""

    def __init__(self, resources: Resources, job_resources: JobResources, lifecycle: Lifecycle) -> None:
        self._resources = resources
        self._job_resources = job_resources
        self._lifecycle = lifecycle

    def context_of(self, started: Started, kind: Kind[Any, Any]) -> Context:
        ledger, carried = self._resources.ledger, self._job_resources
        return Context(
            job_id=started.id,
            kind=started.kind,
            attempt=started.attempt,
            created_at=started.created_at,
            http=carried.http,
            capabilities=carried.capabilities,
            ledger=carried.retention,
            session=ledger.session,
            progress=ProgressNotes(ledger, started.id, started.attempt),
            enqueue=self._enqueue,
            failures=started.failures,
            timeout=kind.timeout if started.timeout_s is None else timedelta(seconds=started.timeout_s),
        )

    async def _enqueue(self, kind: str, args: Any = None, **options: Any) -> str:
        for name in ("delay", "timeout", "expires_in"):
            if options.get(name) is not None:
                options[name] = to_timedelta(options[name])
        options["tags"] = tuple(options.get("tags", ()))
        self._resources.check_queue(options.get("queue"))
        return await self._lifecycle.enqueue_one(kind, args, Options(**options))
