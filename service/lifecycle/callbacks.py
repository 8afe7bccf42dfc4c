"""What is enqueued when a job or a flow ends: checked now, like an enqueue, and kept as the template of a job."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import structlog
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from jobs import Catalogue, Kind
from jobs.kit.round_trip import ArgsChanged
from service import agreed_time
from service.errors import ArgsInvalid, located
from service.ledger.callbacks import Template
from service.ledger.models import Callback, Event, NewJob
from service.lifecycle.args import describe, with_nearest_names
from service.lifecycle.kinds import known_kind
from service.lifecycle.new_job import new_job
from service.options import NO_OPTIONS, Options

log = structlog.get_logger(__name__)

POSTS = "send_webhook"


class Asked(NamedTuple):
    """The requested job; `args` as they came in JSON. `told` names the arg that gets the ended job or flow."""

    kind: str
    args: Mapping[str, Any] | None
    options: Options = NO_OPTIONS
    told: Literal["data"] | None = None


def post_to(url: str, secret: str | None, headers: Mapping[str, str] | None) -> Asked:
    """Ask for a signed post of the ended job or flow. The event, which says how it ended, is filled in then."""
    args: dict[str, Any] = {"url": url, "event": "job.ended", "data": None}
    args |= {"secret": secret} if secret is not None else {}
    args |= {"headers": dict(headers)} if headers else {}
    return Asked(POSTS, args, told="data")


def callback_of(
    event: Event, asked: Asked, catalogue: Catalogue, check_queue: Callable[[str | None], None]
) -> Callback:
    """Make a callback. Raises `KindUnknown`, `QueueUnknown`, and `ArgsInvalid` with places within the args."""
    with located("kind"):
        kind = known_kind(catalogue, asked.kind)
    with located("queue"):
        check_queue(asked.options.queue)
    with located(*([] if asked.told else ["args"])):
        job = new_job(kind, _args_of_json(kind, asked.args), asked.options, agreed_time.now())
    return Callback(event, _template(job, asked).to_json())


def _template(job: NewJob, asked: Asked) -> Template:
    delay, expires_in = asked.options.delay, asked.options.expires_in
    return Template(
        kind=job.kind,
        queue=job.queue,
        args=job.args,
        max_attempts=job.max_attempts,
        sealed_args=job.sealed_args,
        priority=job.priority,
        timeout_s=job.timeout_s,
        delay_s=delay.total_seconds() if delay else None,
        expires_in_s=expires_in.total_seconds() if expires_in else None,
        tags=job.tags,
        metadata=job.metadata,
        lane=job.lane,
        kind_lane=job.kind_lane,
        lane_limits=job.lane_limits,
        label=job.label,
        files=job.files,
        told=asked.told,
    )


def _args_of_json(kind: Kind[Any, Any], args: Mapping[str, Any] | None) -> BaseModel:
    """Validate args from JSON, as an enqueue does. Raises `ArgsInvalid`."""
    sent = {} if args is None else args
    try:
        kind.check_keys(sent, from_json=True)
        validated: BaseModel = kind.door_model.model_validate_json(to_json(sent, inf_nan_mode="constants"))
        return validated
    except ValidationError as error:
        raise _unfit(kind, with_nearest_names(describe(error), kind)) from None
    except ArgsChanged as error:
        raise _unfit(kind, error.errors) from error
    except Exception as error:
        log.error("validator_failed", kind=kind.name, exc_info=error)
        msg = f"a validator of the kind's args failed on them ({type(error).__name__}); the log has its traceback"
        raise _unfit(kind, [{"loc": [], "msg": msg, "type": "validator_failed"}]) from error


def _unfit(kind: Kind[Any, Any], errors: list[dict[str, Any]]) -> ArgsInvalid:
    return ArgsInvalid(f"The args do not fit {kind.name}.", errors=errors)
