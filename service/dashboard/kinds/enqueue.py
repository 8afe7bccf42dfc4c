"""Enqueues a job from a form, as a request to the API would."""

import json
import shlex
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import uuid_utils
from pydantic_core import to_json

from jobs.kit.masking import MASK
from service import agreed_time
from service.access.limits import check_jobs, note_sender
from service.dashboard.kinds.form import EnqueueForm
from service.dashboard.shell import Page
from service.errors import IdTaken, NotForThisKey, PostludeError
from service.ledger.deadline import in_time
from service.ledger.models import Enqueued, NewJob
from service.lifecycle.file_check import may_name_files
from service.requests.making import job_of
from service.requests.parsing import parse
from service.web.file_check import file_check_of
from service.web.state import state_of

_SECRET = "SECRET"  # nosec B105  # noqa: S105 - a placeholder for one


class Made(NamedTuple):
    """The job that a form asked for. `is_new` is False if another job holds its unique key."""

    id: str
    is_new: bool


async def enqueue(page: Page, form: EnqueueForm) -> Made | EnqueueForm:
    """Enqueue a job or, if the form is wrong, return it with the API's errors."""
    unreadable = form.unreadable()
    if unreadable:
        return form.refused([{"loc": form.loc_of(name), "msg": told[0]} for name, told in unreadable.items()])
    # A form that was sent, changed and sent again has an id that is in use.
    for job_id in (form.entries.get("id"), str(uuid_utils.uuid7())):
        try:
            return await _enqueued(page, form, job_id)
        except IdTaken:
            continue
        except PostludeError as error:
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, NotForThisKey):
                raise
            return form.refused(error.errors or [{"loc": [], "msg": error.detail}])
    raise AssertionError("a new id is nobody's")


async def _enqueued(page: Page, form: EnqueueForm, job_id: str | None) -> Made:
    requests = state_of(page.request).requests
    asked = form.request() | ({"id": job_id} if job_id else {})
    body = to_json(asked)
    job = job_of(page.resources, agreed_time.now(), parse(requests.one, body, requests.kinds), body)
    note_sender(page.principal, [job])
    check_jobs(page.principal, [job], page.resources.catalogue)
    if may_name_files(job):
        await in_time(file_check_of(page.request).check_jobs([job]))
    if job.lane is not None:
        await page.lanes.refuse_beside_stock_worker()
    async with page.operator.action("enqueue", "job", job.id) as entry:
        enqueued = await in_time(page.lifecycle.enqueue([job]), writes=True)
        entry.target, entry.after = enqueued.ids[0], _noted(job, enqueued)
    return Made(enqueued.ids[0], bool(enqueued.created))


def _noted(job: NewJob, enqueued: Enqueued) -> Mapping[str, Any] | None:
    """Return what the trail records of a new job: its args as they are shown."""
    if not enqueued.created:
        return None
    return {"kind": job.kind, "queue": job.queue, "args": json.loads(job.args), "run_at": job.run_at, "tags": job.tags}


def curl_of(base: str, form: EnqueueForm) -> str:
    """Return the same request as a command, with a placeholder for each secret."""
    body = json.dumps(form.shown(), ensure_ascii=False, default=str).replace(json.dumps(MASK), json.dumps(_SECRET))
    words = ("curl", "-X", "POST", f"{base}/v1/jobs", "-H", "Content-Type: application/json", "-d", body)
    return " ".join(map(shlex.quote, words)) + ' -H "Authorization: Bearer $POSTLUDE_API_KEY"'
