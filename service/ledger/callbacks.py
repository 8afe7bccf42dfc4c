"""Callbacks as templates: jobs without an id and times, which are enqueued when a job or a flow ends. Pure."""

from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from service.ledger.final_json import readable
from service.ledger.models import Event, NewJob
from service.ledger.states import State
from service.ledger.traits import Trait
from service.vault import is_sealed

TAG = "callback"


class Owner(NamedTuple):
    """What ended: a job or a flow. `shown` is its final JSON."""

    id: str
    sort: str
    state: State
    shown: str

    @property
    def event(self) -> str:
        """Return the name of its end, as webhooks write it: `job.succeeded`, `flow.failed`."""
        return f"{self.sort}.{self.state}"


@dataclass(frozen=True, slots=True)
class Template:
    """A job to come. Args, `metadata` and `lane_limits` are JSON.

    `told` names the arg that gets the final JSON of what ended; the arg `event` then gets the name of its end.
    """

    kind: str
    queue: str
    args: str
    max_attempts: int
    sealed_args: str | None = None
    priority: int = 0
    timeout_s: float | None = None
    delay_s: float | None = None
    expires_in_s: float | None = None
    tags: tuple[str, ...] = ()
    metadata: str | None = None
    lane: str | None = None
    kind_lane: str | None = None
    lane_limits: str | None = None
    label: str | None = None
    files: tuple[str, ...] | None = None
    told: str | None = None

    def to_json(self) -> str:
        return to_json({name: value for name, value in asdict(self).items() if value is not None}).decode()


_KNOWN = frozenset(one.name for one in fields(Template))
_OF_THE_JOB = tuple(
    one.name
    for one in fields(Template)
    if one.name not in ("args", "sealed_args", "tags", "delay_s", "expires_in_s", "told")
)


def is_called(event: Event, state: State) -> bool:
    """Whether a callback for `event` is called when its owner has ended in `state`."""
    return event == "end" or (event == "success") == (state is State.SUCCEEDED)


def job_of(template: str, *, id: str, now: datetime, owner: Owner) -> NewJob:  # noqa: A002 - as the field of NewJob
    """Make the job of a callback, to be recorded with the end of its `owner`."""
    # A newer version may have written more fields: an unknown one must not keep its owner from ending.
    made = Template(**{name: value for name, value in from_json(template).items() if name in _KNOWN})
    run_at = now + timedelta(seconds=made.delay_s or 0)
    return NewJob(
        id=id,
        state=State.SCHEDULED if made.delay_s else State.QUEUED,
        args=_told(made.args, made, owner),
        sealed_args=None if made.sealed_args is None else _told(made.sealed_args, made, owner),
        run_at=run_at,
        created_at=now,
        expires_at=None if made.expires_in_s is None else now + timedelta(seconds=made.expires_in_s),
        tags=(*made.tags, TAG),
        traits=int(Trait.PARENTS),
        **{name: getattr(made, name) for name in _OF_THE_JOB},
    )


def _told(args: str, made: Template, owner: Owner) -> str:
    if made.told is None or is_sealed(args):  # sealed with a key that is not here: its attempt will say so
        return args
    written: dict[str, Any] = from_json(args)
    return to_json(written | {"event": owner.event, made.told: readable(owner.shown)}).decode()
