"""What may be done to many jobs at once, and in which states each of them allows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.ledger.operations import Action
from service.ledger.states import LIVE, PROMOTABLE, REPLAYABLE, TERMINAL, UNSTARTED, State


@dataclass(frozen=True, slots=True)
class Deed:
    """An action as its button, its question and its toast say it. `states` are those that allow it."""

    action: Action
    verb: str
    doing: str
    states: Sequence[State]
    why_not: str
    warning: str
    keep: str
    icon: str | None = None
    is_final: bool = False


ACTIONS: Mapping[str, Deed] = {
    deed.action: deed
    for deed in (
        Deed(
            "replay",
            "Replay",
            "Replaying",
            REPLAYABLE,
            "None of them has failed or was cancelled",
            "Each job gets its attempts anew. Side effects that already happened may happen again.",
            "Keep as they are",
            "replay",
        ),
        Deed(
            "change",
            "Change",
            "Changing",
            UNSTARTED,
            "None of them waits",
            "Only what is filled in is changed, in those that have not started when it comes to them.",
            "Keep as they are",
            "edit",
        ),
        Deed(
            "run_now",
            "Run now",
            "Letting run",
            PROMOTABLE,
            "None of them waits for its time",
            "They are due at once, whatever time they wait for. Pauses and lanes still hold.",
            "Let them wait",
            "now",
        ),
        Deed(
            "cancel",
            "Cancel",
            "Cancelling",
            LIVE,
            "All of them have ended",
            "Waiting jobs end at once, running ones are interrupted. What they have done stays done.",
            "Let them go on",
        ),
        Deed(
            "delete",
            "Delete",
            "Deleting",
            TERMINAL,
            "None of them has ended",
            "They are gone for good, with their attempts, results and log lines.",
            "Keep them",
            is_final=True,
        ),
    )
}
