"""Why a job does not run, in one sentence, with the way out. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from service.dashboard.job.checks import MOST_AHEAD, OF_LANES, At, Part, Tone, tone_of
from service.lanes.reasons import Reason, Why
from service.words import counted

Row = Mapping[Any, Any]


class Headline(NamedTuple):
    """Why it does not run, in one sentence, and what else to know. `link` leads to the cause, `resume` ends it."""

    tone: Tone
    sentence: Sequence[Part]
    detail: Sequence[Part] = ()
    link: tuple[str, str, str] | None = None  # its label, the page, and the name there
    resume: tuple[str, str, str] | None = None


def headline(job: Row, reason: Reason, ahead: int | None) -> Headline:
    """State the decisive reason as a colleague would."""
    tone = tone_of(reason)
    return Headline(tone, _sentence(job, reason), _ahead(reason, ahead), _link(reason), _resume(reason))


def _sentence(job: Row, reason: Reason) -> list[Part]:
    by: list[Part] = []
    if (until := reason.until) is not None:
        by = [" until ", At(until, "clock"), ", ", At(until, "until")]
    match reason.why:
        case Why.DUE_LATER:
            return ["It waits for its time: ", At(job["run_at"], "clock"), ", ", At(job["run_at"], "until"), "."]
        case Why.QUEUE_PAUSED | Why.KIND_PAUSED:
            what = "queue" if reason.why is Why.QUEUE_PAUSED else "kind"
            return [f"Its {what} {reason.name} is paused", *(by or _FOR_GOOD), "."]
        case Why.LANE_PAUSED:
            return [f"It waits for its lane {reason.name}, which is paused", *(by or _FOR_GOOD), "."]
        case Why.BREAKER_OPEN | Why.BREAKER_FORCED:
            return ["It waits for its lane, which is held by its breaker", *by, "."]
        case Why.NO_SLOT | Why.LANE_SHARE:
            return ["It is due, and waits for a free slot."]
        case Why.OTHER_JOBS:
            return [f"It waits for {reason.sentence}."]
        case Why.NO_WORKER | Why.NO_WORKER_OF_QUEUE | Why.NO_WORKER_OF_KIND:
            return [f"{reason.sentence[0].upper()}{reason.sentence[1:]}."]
        case _:
            return [f"It waits: {reason.sentence}."]


def _ahead(reason: Reason, ahead: int | None) -> list[Part]:
    told: list[Part] = [f"The last failure there: {reason.told}. "] if reason.why in _BREAKERS and reason.told else []
    if ahead:
        more = "More than " if ahead >= MOST_AHEAD else ""
        told.append(f"{more}{counted(ahead, 'job is', 'jobs are')} ahead of this one. ")
    return [*told, "Waiting costs it no attempt."]


_FOR_GOOD = (", until somebody resumes it",)
_BREAKERS = (Why.BREAKER_OPEN, Why.BREAKER_TRIES)


def _link(reason: Reason) -> tuple[str, str, str] | None:
    if reason.name is None:
        return None
    match reason.why:
        case Why.OTHER_JOBS:
            return ("Open that job", "/jobs", reason.name)
        case Why.KIND_PAUSED | Why.NO_WORKER_OF_KIND:
            return ("Open the kind", "/kinds", reason.name)
        case why if why in OF_LANES or why is Why.LANE_SHARE:
            return ("Open the lane", "/lanes", reason.name)
        case _:
            return None


def _resume(reason: Reason) -> tuple[str, str, str] | None:
    what = _RESUMED.get(reason.why)
    return None if what is None or reason.name is None else (f"Resume the {what}", f"/{what}s", reason.name)


_RESUMED = {
    Why.QUEUE_PAUSED: "queue",
    Why.KIND_PAUSED: "kind",
    Why.LANE_PAUSED: "lane",
    Why.BREAKER_OPEN: "lane",
}
