"""How a job ended, in terms of arq's protocol."""

import json
from datetime import datetime
from typing import Any

from arq.jobs import serialize_result

from service.ledger.models import Finish, Finished, Started
from service.ledger.states import TERMINAL, State
from service.queue import Again, ArqJob, Result, key_of, serialize


def word_after(started: Started, finish: Finish, finished: Finished) -> Again | Result:
    """Return what to tell Redis after an attempt of an adopted job: its next time, or its result."""
    assert started.arq_id is not None
    if finished.state not in TERMINAL:
        return Again(started.arq_id, finished.queue, finished.run_at)
    success = finished.state is State.SUCCEEDED
    message = finish.failure.message if finish.failure else finished.state.value
    value = json.loads(finish.result or "null") if success else message
    times = (started.created_at, started.started_at, finish.at)
    return _result(
        started.kind, started.arq_id, finished.queue, times, tries=started.attempt, success=success, value=value
    )


def result_of_arq_job(arq_job: ArqJob, at: datetime, *, success: bool, value: Any, tries: int) -> Result:
    """Return the result of an arq job that was not ended by an attempt of this worker."""
    times = (arq_job.enqueued_at, at, at)
    return _result(arq_job.function, arq_job.id, arq_job.queue, times, tries=tries, success=success, value=value)


def _result(
    function: str,
    arq_id: str,
    queue: str,
    times: tuple[datetime, datetime, datetime],
    *,
    tries: int,
    success: bool,
    value: Any,
) -> Result:
    enqueued_ms, started_ms, finished_ms = (int(moment.timestamp() * 1000) for moment in times)
    result = serialize_result(
        function,
        (),
        {},
        tries,
        enqueued_ms,
        success,
        value,
        started_ms,
        finished_ms,
        f"{arq_id}:{function}",
        key_of(queue),
        arq_id,
        serializer=serialize,
    )
    assert result is not None
    return Result(arq_id, queue, result)
