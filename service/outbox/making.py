"""Turns a row into a job, by the rules of `POST /v1/jobs`. A row that breaks them becomes a failed job that says so."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from pydantic_core import from_json, to_json

from jobs import Catalogue
from service import agreed_time
from service.errors import ArgsInvalid, BodyMalformed, IdTaken, PostludeError, Refused
from service.ledger.models import NewJob
from service.ledger.states import State
from service.lifecycle.args import MAX_ARGS_BYTES
from service.outbox.reads import LARGEST_ROW, Row, RowId
from service.requests.client_made import request_hash
from service.requests.following import check_parents
from service.requests.known import Known
from service.requests.making import job_of
from service.requests.parsing import parse
from service.requests.requests import Requests

log = structlog.get_logger(__name__)

_OWN = ("id", "kind", "args")
_LONGEST_KIND = 100
_MOST_TOLD = 10
_LONGEST_REASON = 2_000
# For the ids of failed jobs whose rows have an id that no job can have, or that another job has.
_NAMESPACE = uuid.UUID("019b1f3e-7a52-7cc3-9d10-2f6a4c8e5b71")


@dataclass(frozen=True, slots=True)
class Made:
    """A job, and its row. `refusal` says why it is a failed one."""

    row: Row
    job: NewJob
    refusal: Exception | None = None


class Maker:
    """Makes jobs from rows. The first row takes longest, because the request models are built then."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._requests: Requests | None = None

    def make(self, rows: Sequence[Row]) -> list[Made]:
        """Make a job from each row."""
        if self._requests is None:
            self._requests = Requests(self._known.catalogue)
        now = agreed_time.now()
        return [self._make(self._requests, row, now) for row in rows]

    def _make(self, requests: Requests, row: Row, now: datetime) -> Made:
        try:
            return Made(row, self._job_of(requests, row, min(row.created_at or now, now)))
        except PostludeError as refusal:
            return self.refused(row, refusal)
        except Exception as error:  # a row that raised each time would hold up all rows behind it
            log.error("outbox_row_failed", row_id=_text(row.id), kind=_plain(row.kind), exc_info=error)
            told = f"The row could not be made into a job ({type(error).__name__}); the log of the worker says why."
            return self.refused(row, Refused(told))

    def _job_of(self, requests: Requests, row: Row, at: datetime) -> NewJob:
        """Make the job; `at` is when its row was written, from which its delay and its expiry count."""
        body = _body_of(row)
        wanted = parse(requests.one, body, requests.kinds)
        job = job_of(self._known, at, wanted, body)
        check_parents([job])
        _refuse_secrets(job)
        return job

    def refused(self, row: Row, refusal: Exception) -> Made:
        """Make a failed job from a row, which says why. The same row always makes the same job."""
        catalogue, now = self._known.catalogue, agreed_time.now()
        kind = catalogue.get(row.kind)
        at = min(row.created_at or now, now)
        job_id = _id_of(row, refusal)
        job = NewJob(
            id=job_id,
            kind=_plain(row.kind)[:_LONGEST_KIND] or "?",
            state=State.FAILED,
            queue=kind.queue if kind else "default",
            args=_shown_args(row, catalogue),
            run_at=at,
            created_at=at,
            max_attempts=kind.max_attempts if kind else 1,
            error_type=type(refusal).__name__,
            error_message=_reason(refusal),
            finished_at=now,
            request_hash=_hash_of(row),
            tags=() if job_id in (row.id, str(row.id).lower()) else (f"outbox:{_text(row.id)}"[:_LONGEST_KIND],),
        )
        return Made(row, job, refusal)


def _body_of(row: Row) -> bytes:
    """Write the request that a row stands for. Args are not parsed: that would round their decimals."""
    if row.size > LARGEST_ROW:
        raise ArgsInvalid(f"The row is larger than {LARGEST_ROW // 1024} KiB.")
    if isinstance(row.id, bytes):
        raise ArgsInvalid("The id of the row is not text: a UUIDv7 is written 019b1f3e-7a52-7cc3-9d10-2f6a4c8e5b71.")
    _read("args", row.args)
    options = _read("options", row.options)
    if not isinstance(options, dict):
        raise ArgsInvalid('The options of the row are not a JSON object, such as {"priority": 5}.')
    if own := [name for name in _OWN if name in options]:
        raise ArgsInvalid(f"The options of the row name {', '.join(own)}, which the row has columns for.")
    # `args` is complete JSON by itself, so it cannot run into what follows.
    head = to_json({"id": row.id, "kind": row.kind, **options}, inf_nan_mode="constants")
    return head[:-1] + b',"args":' + row.args.encode() + b"}"


def _read(column: str, text: str) -> Any:
    try:
        return from_json(text)
    except ValueError as error:
        raise BodyMalformed(f"The {column} of the row are not valid JSON: {error}.") from None


def _refuse_secrets(job: NewJob) -> None:
    """Refuse args that lay open in the outbox if their kind promises to keep them sealed."""
    templates = [from_json(callback.template) for callback in job.callbacks]
    told = [(job.sealed_args, job.args), *((one.get("sealed_args"), one["args"]) for one in templates)]
    if any(sealed is not None and from_json(sealed) != from_json(shown) for sealed, shown in told):
        raise ArgsInvalid(
            "The args hold a secret, but an outbox keeps args in clear. Let the kind look the secret up, or enqueue"
            " the job over HTTP."
        )


def _id_of(row: Row, refusal: Exception) -> str:
    """Return the id of the failed job: the row's, if a job can have it and no other has."""
    text = _text(row.id)
    is_own = isinstance(row.id, str) and text.isprintable() and text and "/" not in text
    if is_own and not isinstance(refusal, IdTaken):
        return text.lower() if len(text) == len(str(_NAMESPACE)) else text
    return str(uuid.uuid5(_NAMESPACE, f"{text} {_hash_of(row)}"))


def _hash_of(row: Row) -> str:
    try:
        return request_hash(_body_of(row))
    except (PostludeError, ValueError):
        return request_hash(list(map(_text, (row.id, row.kind, row.args, row.options))))


def _shown_args(row: Row, catalogue: Catalogue) -> str:
    """Return what can be shown of the args, so that the job can be replayed once its kind takes them."""
    kind = catalogue.get(row.kind)
    if (kind is not None and kind.has_secrets) or len(row.args.encode(errors="replace")) > MAX_ARGS_BYTES:
        return "{}"
    try:
        is_object = isinstance(from_json(row.args), dict)
    except ValueError:
        return "{}"
    return row.args.replace("\\u0000", "\\ufffd") if is_object else "{}"


def _reason(refusal: Exception) -> str:
    detail = refusal.detail if isinstance(refusal, PostludeError) else str(refusal)
    errors = (refusal.errors if isinstance(refusal, PostludeError) else None) or []
    told = [_told(one) for one in errors[:_MOST_TOLD]]
    more = "; ".join(one for one in told if one not in detail)
    return _plain(" ".join(filter(None, (detail, more))))[:_LONGEST_REASON]


def _told(error: dict[str, Any]) -> str:
    """Say where and why; about the kind only why, as the refusal does."""
    place = "" if error["loc"] == ["kind"] else ".".join(map(str, error["loc"]))
    return f"{place}: {error['msg']}" if place else str(error["msg"])


def _text(row_id: RowId) -> str:
    return row_id if isinstance(row_id, str) else row_id.decode(errors="replace")


def _plain(text: str) -> str:
    """Return the text without what some database refuses."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()
