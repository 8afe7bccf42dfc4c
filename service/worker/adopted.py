"""Jobs of plain arq clients: recorded when they are claimed, and kept in arq's own protocol to the end."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
import uuid_utils
from arq.jobs import serialize_result
from pydantic import ValidationError

from jobs import Kind
from service import agreed_time
from service.errors import ArgsInvalid
from service.ledger import queries
from service.ledger.models import Enqueue, Finish, Finished, NewJob, Started
from service.ledger.states import TERMINAL, State
from service.lifecycle import MAX_ARGS_BYTES, Options, describe, new_job
from service.queue import Entry, Queue, key_of, serialize
from service.resources import Resources
from service.worker.aside import UnknownKinds
from service.worker.call import Call, NoCall, read_call

log = structlog.get_logger(__name__)

_LONGEST_TAG = 255


class Adoption:
    """Turns ids of plain arq clients into jobs of the ledger."""

    def __init__(self, resources: Resources, unknown_kinds: UnknownKinds) -> None:
        self._resources = resources
        self._queue = resources.queue
        self._unknown_kinds = unknown_kinds

    async def adopt(self, member: str, queue: str, due_by: datetime) -> str | None:
        """Record the call behind a claimed id; gives the id of the job to start, or None where there is none."""
        try:
            call = await read_call(self._queue, member)
        except NoCall as reason:
            log.error("queue_member_removed", found=member, reason=str(reason))
            await self._queue.remove(queue, [member.encode()])
            return None
        known = await self._known(call)
        if known is not None:
            return await self._resume(call, queue, *known)
        kind = self._resources.catalogue.get(call.function)
        if kind is None:
            entry = Entry(member, call.function, queue, min(call.enqueued_at, due_by))
            await self._unknown_kinds.set_aside([entry], due_by)
            return None
        return await self._record(call, kind, queue, due_by)

    async def _known(self, call: Call) -> tuple[str, State] | None:
        async with self._resources.ledger.read() as connection:
            return await queries.adopted_as(connection, call.arq_id, call.enqueued_at)

    async def _resume(self, call: Call, queue: str, job_id: str, state: State) -> str | None:
        """This very call was adopted before: it goes on, or its end was not told to Redis."""
        if state not in TERMINAL:
            return job_id
        async with self._resources.ledger.read() as connection:
            row = await queries.get_job(connection, job_id)
        assert row is not None
        success = state is State.SUCCEEDED
        value = json.loads(row["result"] or "null") if success else row["error_message"]
        await self._tell(call, queue, success=success, value=value, tries=row["attempt"])
        return None

    async def _record(self, call: Call, kind: Kind[Any, Any], queue: str, due_by: datetime) -> str | None:
        async with self._resources.ledger.read() as connection:
            taken = call.arq_id in await queries.states_of(connection, [call.arq_id])
        fields: dict[str, Any] = {"arq_id": call.arq_id}
        options = Options(queue=queue)
        if taken or not _can_be_looked_up(call.arq_id):
            options = Options(queue=queue, tags=(f"arq:{call.arq_id}"[:_LONGEST_TAG],))
        else:
            fields["id"] = call.arq_id
        try:
            job = self._valid_job(call, kind, options, fields)
            job = replace(job, run_at=min(job.run_at, due_by))  # it is due, whatever its client's clock said
        except (ValueError, ArgsInvalid) as refusal:
            job = _refused_job(call, kind, queue, str(refusal), fields)
        await self._resources.ledger.enqueue(Enqueue(jobs=(job,), writer=self._resources.process_id))
        if job.state is State.FAILED:
            await self._tell(call, queue, success=False, value=job.error_message, tries=1)
            return None
        return job.id

    def _valid_job(self, call: Call, kind: Kind[Any, Any], options: Options, fields: dict[str, Any]) -> NewJob:
        if call.args:
            raise ValueError("positional args are not taken: give the fields of the args as keyword arguments")
        try:
            args = kind.args_model.model_validate(call.kwargs)
        except ValidationError as error:
            raise ValueError(f"the args do not fit {kind.name}: {describe(error)}") from error
        except Exception as error:
            raise ValueError(f"the args of {kind.name} could not be checked: {type(error).__name__}") from error
        return new_job(kind, args, options, call.enqueued_at, **fields)

    async def _tell(self, call: Call, queue: str, *, success: bool, value: Any, tries: int) -> None:
        now_ms = _ms(agreed_time.now())
        result = _arq_result(call.function, call.arq_id, queue, call.enqueued_at, now_ms, now_ms, tries, success, value)
        await self._queue.finish_adopted(call.arq_id, queue, result)


async def settle(queue: Queue, started: Started, finish: Finish, finished: Finished) -> None:
    """Keep arq's protocol after an attempt: the id waits for the next one, or its result is told."""
    assert started.arq_id is not None
    if finished.state not in TERMINAL:
        await queue.put_again(started.arq_id, finished.queue, finished.run_at)
        return
    success = finished.state is State.SUCCEEDED
    message = finish.failure.message if finish.failure else finished.state.value
    result = _arq_result(
        started.kind,
        started.arq_id,
        finished.queue,
        started.created_at,
        _ms(started.started_at),
        _ms(finish.at),
        started.attempt,
        success,
        json.loads(finish.result or "null") if success else message,
    )
    await queue.finish_adopted(started.arq_id, finished.queue, result)


def _can_be_looked_up(arq_id: str) -> bool:
    """Whether an id can stand in the path `/v1/jobs/{id}`, and be read there."""
    return arq_id.isprintable() and "/" not in arq_id


def _refused_job(call: Call, kind: Kind[Any, Any], queue: str, reason: str, fields: dict[str, Any]) -> NewJob:
    shown = "{}" if kind.has_secrets else json.dumps(call.kwargs or call.args).replace("\\u0000", "\\ufffd")
    if len(shown) > MAX_ARGS_BYTES:
        shown = "{}"
    return NewJob(
        **{"id": str(uuid_utils.uuid7())} | fields,
        kind=kind.name,
        state=State.FAILED,
        queue=queue,
        args=shown,
        run_at=call.enqueued_at,
        created_at=call.enqueued_at,
        max_attempts=kind.max_attempts,
        error_type="ArgsInvalid",
        error_message=reason,
        finished_at=agreed_time.now(),
    )


def _arq_result(
    function: str,
    arq_id: str,
    queue: str,
    enqueued_at: datetime,
    start_ms: int,
    finish_ms: int,
    tries: int,
    success: bool,
    value: Any,
) -> bytes:
    result = serialize_result(
        function,
        (),
        {},
        tries,
        _ms(enqueued_at),
        success,
        value,
        start_ms,
        finish_ms,
        f"{arq_id}:{function}",
        key_of(queue),
        arq_id,
        serializer=serialize,
    )
    assert result is not None
    return result


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
