"""A request becomes the row of a job: its args, its options, and its relations to other jobs."""

from datetime import datetime
from typing import Any

from service.errors import ArgsInvalid, located, placed
from service.ledger.models import NewJob
from service.lifecycle.new_job import new_job
from service.requests.client_made import request_hash
from service.requests.following import following
from service.requests.known import Known


def job_of(known: Known, now: datetime, wanted: Any, body: bytes) -> NewJob:
    """Make the row of a job that `body` asks for. Errors in its args are reported under `args`."""
    if wanted.queue is not None:
        with located("queue"):
            known.check_queue(wanted.queue)
    others = following(wanted, known)
    if wanted.id is not None:
        others = {**others, "id": wanted.id, "request_hash": request_hash(body)}
    try:
        return new_job(known.catalogue[wanted.kind], wanted.args, wanted.options(), now, **others)
    except ArgsInvalid as error:
        raise ArgsInvalid(error.detail, errors=placed(error, "args", sort="too_large")) from error
