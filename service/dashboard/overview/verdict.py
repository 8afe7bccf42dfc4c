"""What the overview says first: what is wrong, with the worst in full, or that everything is going out."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.dashboard.overview.reading import Standing
from service.dashboard.text import age_text
from service.insight.troubles import Trouble
from service.words import counted

# The worst is shown in full, this many after it in a line each, and the rest as a number.
_MOST_IN_A_LINE = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """`worst` is None if nothing is wrong; `others` are what else is wrong, warnings and notes."""

    worst: Trouble | None
    others: Sequence[Trouble]
    more: int

    @property
    def title(self) -> str:
        return "Overview" if self.worst is None else f"{self.worst.headline.rstrip('.')} · Overview"


def verdict_of(troubles: Sequence[Trouble]) -> Verdict:
    worst = troubles[0] if troubles and troubles[0].severity == "wrong" else None
    others = troubles[1:] if worst else troubles
    return Verdict(worst, others[:_MOST_IN_A_LINE], max(len(others) - _MOST_IN_A_LINE, 0))


def calm_words(standing: Standing) -> str:
    """Say how things are if nothing is wrong."""
    return " ".join(part for part in (_ended(standing), _alive(standing)) if part)


def _ended(standing: Standing) -> str:
    ended, succeeded = standing.rates.ended, standing.rates.succeeded
    if not ended:
        return "No job ended in the last hour."
    if ended == 1:
        return f"One job ended in the last hour, and {'succeeded' if succeeded else 'did not succeed'}."
    return (
        f"Of {ended:,} jobs that ended in the last hour, {'all' if succeeded == ended else f'{succeeded:,}'} succeeded."
    )


def _alive(standing: Standing) -> str:
    living, known = len(standing.living), [one for one in standing.workers if one.state != "ended"]
    oldest = "no due job is waiting" if standing.oldest_s is None else _oldest(standing.oldest_s)
    all_of = f"all {living} workers are" if 1 < living == len(known) else counted(living, "worker is", "workers are")
    held_count = standing.held_count
    held = counted(held_count, "lane or queue is", "lanes and queues are") if held_count else "nothing is"
    sentence = f"{oldest}, {all_of} alive, and {held} held."
    return sentence[0].upper() + sentence[1:]


def _oldest(seconds: float) -> str:
    return f"the oldest waiting job is {age_text(seconds)} old"
