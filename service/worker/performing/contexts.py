"""What an attempt is given: its timeout, and its `Context`."""

from datetime import timedelta
from typing import Any

from jobs import Context, Kind
from jobs.kit.steps import NOTHING, Given
from jobs.operate import Operator
from service.job_resources import JobResources
from service.ledger.models import Started
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources
from service.worker.performing.attempt_tools import AttemptTools
from service.worker.performing.enqueueing import Enqueueing


def timeout_of(started: Started, kind: Kind[Any, Any]) -> float:
    """Return the attempt's timeout in seconds: the job's own, else its kind's."""
    return kind.timeout.total_seconds() if started.timeout_s is None else started.timeout_s


class Contexts:
    """Contexts over the resources of one process."""

    def __init__(self, resources: Resources, job_resources: JobResources, lifecycle: Lifecycle) -> None:
        self._ledger, self._session = resources.ledger, resources.ledger.session
        self._job_resources = job_resources
        self._enqueueing = Enqueueing(resources, lifecycle)
        self._capabilities: dict[Any, Any] = {**job_resources.capabilities, Operator: lifecycle.operations}

    def context_of(self, started: Started, kind: Kind[Any, Any], given: Given = NOTHING) -> Context:
        carried = self._job_resources
        tools = AttemptTools(self._ledger, self._enqueueing, started, given)
        return Context(
            job_id=started.id,
            kind=started.kind,
            attempt=started.attempt,
            created_at=started.created_at,
            http=carried.http,
            capabilities=self._capabilities,
            ledger=carried.retention,
            session=self._session,
            progress=tools.progress,
            enqueue=tools.enqueue,
            failures=started.failures,
            steps=tools.steps,
            timeout=kind.timeout if started.timeout_s is None else timedelta(seconds=started.timeout_s),
        )
