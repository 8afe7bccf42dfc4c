"""What a request says about other jobs: its parents, the flow that it joins, and what follows at its end."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field

from service.errors import MOST_ERRORS, ArgsInvalid, FlowInvalid, FlowUnknown, ParentUnknown
from service.ledger.models import Callback, NewJob
from service.ledger.states import RunWhen
from service.queue import LONGEST_ID
from service.requests.callback_in import CallbackIn
from service.requests.known import Known

MOST_PARENTS = 10_000
MOST_EDGES = 100_000
_EVENTS = {"on_success": "success", "on_failure": "failure", "on_end": "end"}
# The fields of a request about other jobs.
FOLLOWING = frozenset({"after", "run_when", "flow", *_EVENTS})
_NONE: dict[str, Any] = {}

FlowName = Annotated[str, Field(min_length=1, max_length=100)]
JobId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]


class Callbacks(BaseModel):
    """What is enqueued when a job or a flow ends."""

    on_success: CallbackIn | None = Field(None, description="When it has succeeded.")
    on_failure: CallbackIn | None = Field(None, description="When it has failed or been cancelled.")
    on_end: CallbackIn | None = Field(None, description="When it has ended, in any way.")


class Following(Callbacks):
    run_when: RunWhen = Field(
        "succeeded",
        description="When a job in `after` counts as done: `succeeded`; `ended`, in any way; or `attempted` once,"
        " whatever the outcome.",
    )


def callbacks_of(wanted: Callbacks, known: Known) -> tuple[Callback, ...]:
    """Make the callbacks of a job or a flow. Raises `KindUnknown`, `QueueUnknown` and `ArgsInvalid`."""
    asked = [(event, getattr(wanted, name)) for name, event in _EVENTS.items()]
    return tuple(one.callback(event, known) for event, one in asked if one is not None)


def following(wanted: Any, known: Known) -> dict[str, Any]:
    """Return the fields of a new job about other jobs: none, for nearly every job."""
    said = wanted.model_fields_set
    if FOLLOWING.isdisjoint(said):
        return _NONE
    return {
        "after": tuple(dict.fromkeys(wanted.after)),
        "run_when": wanted.run_when,
        "flow": wanted.flow if "flow" in said else None,  # a job in the request of its flow has no such field
        "callbacks": () if said.isdisjoint(_EVENTS) else callbacks_of(wanted, known),
    }


def check_parents(jobs: Sequence[NewJob], *place: str) -> None:
    """Raise `ArgsInvalid` if jobs have more parents than one transaction should lock.

    Raises `FlowInvalid` if a job comes after itself, or after a job that is behind it in the batch.
    """
    linked = [(number, job) for number, job in enumerate(jobs) if job.after]
    if not linked:
        return
    parents = set().union(*(job.after for _, job in linked))
    if sum(len(job.after) for _, job in linked) > MOST_EDGES or len(parents) > MOST_PARENTS:
        text = f"The jobs of a batch may name {MOST_PARENTS:,} others in `after`, {MOST_EDGES:,} times in all."
        raise ArgsInvalid(text, errors=[{"loc": ["jobs"], "msg": text, "type": "too_long"}])
    places = {job.id: number for number, job in reversed([*enumerate(jobs)])}
    errors = [
        _mistake(_out_of_order(job, parent, places), number, ("after", at), place)
        for number, job in linked
        for at, parent in enumerate(job.after)
        if places.get(parent, -1) >= number
    ]
    if errors:
        raise FlowInvalid(f"The jobs cannot be put in an order: {errors[0]['msg']}.", errors=errors[:MOST_ERRORS])


def _out_of_order(job: NewJob, parent: str, places: Mapping[str, int]) -> str:
    return "a job cannot come after itself" if parent == job.id else f"job {places[parent]} must come before this one"


def _mistake(told: str, number: int, where: tuple[str | int, ...], place: tuple[str, ...]) -> dict[str, Any]:
    return {"loc": [*place, *([number] if place else []), *where], "msg": told, "type": "flow_invalid"}


def refuse_unknown(jobs: Sequence[NewJob], unknown: Collection[str], *place: str) -> None:
    """Raise `ParentUnknown` or `FlowUnknown` if jobs name other jobs, or a flow, that do not exist."""
    if not unknown:
        return
    wrong = frozenset(unknown)
    errors: list[dict[str, Any]] = []
    for number, job in enumerate(jobs):
        names = [(("after", at), parent) for at, parent in enumerate(job.after)] + [(("flow",), job.flow)]
        errors += [
            {"loc": [*place, *([number] if place else []), *where], "msg": f"there is no {name!r}", "type": "unknown"}
            for where, name in names
            if name in wrong
        ]
    told = f"{', '.join(sorted(wrong)[:5])}{', …' if len(wrong) > 5 else ''}"
    if any("after" in one["loc"] for one in errors):
        detail = f"There is no job {told}, which `after` names. It may be past its retention."
        raise ParentUnknown(detail, errors=errors[:MOST_ERRORS])
    raise FlowUnknown(f"There is no flow {told}. It may be past its retention.", errors=errors[:MOST_ERRORS])
