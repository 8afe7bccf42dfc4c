"""What can be done to many jobs at once, and in which states a job allows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.ledger.operations import Action
from service.ledger.states import LIVE, PROMOTABLE, REPLAYABLE, TERMINAL, UNSTARTED, State


@dataclass(frozen=True, slots=True)
class Deed:
    """The words of an action for its button, its question and its toast. `states` are those that allow it."""

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
            "None of them has failed or been cancelled",
            "Each job gets its full attempts again. Side effects that already happened may happen again.",
            "Keep as they are",
            "replay",
        ),
        Deed(
            "change",
            "Change",
            "Changing",
            UNSTARTED,
            "None of them waits",
            "Only filled-in fields change, and only in jobs that have not started by then.",
            "Keep as they are",
            "edit",
        ),
        Deed(
            "run_now",
            "Run now",
            "Letting run",
            PROMOTABLE,
            "None of them waits for its time",
            "They become due at once, whatever time they wait for. Pauses and lanes still apply.",
            "Let them wait",
            "now",
        ),
        Deed(
            "cancel",
            "Cancel",
            "Cancelling",
            LIVE,
            "All of them have ended",
            "Waiting jobs end at once, running jobs are interrupted. What they have done stays done.",
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
