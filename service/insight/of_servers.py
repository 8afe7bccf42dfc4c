"""Troubles of the servers, and of jobs that nothing accounts for, which must never be."""

from collections.abc import Iterator

from service.errors import LedgerUnavailable
from service.insight.facts import Facts
from service.insight.levels import GAP, UNACCOUNTED
from service.insight.trouble import Action, Trouble, page_of
from service.insight.words import jobs_text

_KEPT = "Everything that was accepted is in the ledger; nothing is lost."


def of_away_ledger(error: LedgerUnavailable) -> Trouble:
    """The one trouble that can be reported without the ledger."""
    return Trouble(
        key="ledger",
        severity="wrong",
        section="overview",
        headline="The database of the ledger does not answer.",
        text=(
            "New jobs are refused with 503, so callers know that they were not accepted. Running jobs go on, and their"
            " ends are recorded when it is back. Nothing that was accepted is lost.",
        ),
        facts=[("Answer", (str(error.__cause__ or error),))],
        steps=[
            ("Check the database: its process, its disk, the network between.",),
            ("Wait. Workers and this API carry on by themselves as soon as it answers.",),
        ],
        name="the ledger is away",
    )


def of_servers(facts: Facts) -> Iterator[Trouble]:
    if facts.unwritable is not None:
        yield _unwritable(facts.unwritable)
    if facts.redis is not None:
        yield _redis(facts.redis)
    if unaccounted := int(facts.levels.get(UNACCOUNTED, 0)):
        yield _unaccounted(unaccounted)
    if facts.gap_lasts:
        yield _gap(int(facts.levels[GAP]))
    for setting, remedy in facts.risks.items():
        yield Trouble(
            key=f"setting:{setting}",
            severity="warning",
            section="overview",
            headline=f"{setting} breaks a promise.",
            text=(f"{remedy[:1].upper()}{remedy[1:]}.",),
        )
    for name, complaint in facts.complaints.items():
        yield Trouble(
            key=f"feature:{name}",
            severity="warning",
            section="apps" if name == "apps" else "mail" if name == "mail" else "overview",
            headline=f"The {name} complains.",
            text=(f"{complaint[:1].upper()}{complaint[1:]}.",),
        )


def _unwritable(reason: str) -> Trouble:
    return Trouble(
        key="ledger",
        severity="wrong",
        section="overview",
        headline="The database of the ledger takes no writes.",
        text=("It can be read, so this page is right. New jobs are refused, and no job starts. ", _KEPT),
        facts=[("Answer", (reason,))],
        steps=[
            ("Check whether its disk is full, or whether it has become a standby.",),
            ("Wait. Everything carries on by itself as soon as it takes writes.",),
        ],
        name="no writes",
    )


def _redis(reason: str) -> Trouble:
    return Trouble(
        key="redis",
        severity="wrong",
        section="overview",
        headline="Redis does not answer, so no job starts.",
        text=("Jobs are accepted and kept in the ledger, and running jobs go on. Nothing is lost.",),
        facts=[("Answer", (reason,))],
        steps=[
            ("Check Redis: its process, its memory, the network between.",),
            ("Wait. When it is back, even empty, due jobs go out by themselves.",),
        ],
        name="Redis is away",
    )


def _unaccounted(count: int) -> Trouble:
    return Trouble(
        key="unaccounted",
        severity="wrong",
        section="jobs",
        headline=f"Nothing accounts for {jobs_text(count)}.",
        text=(
            "Each is still in the ledger. But it neither waits on the queue, nor runs in a living worker, nor has ended"
            " since the sweep had the chance to mend it. That should never happen.",
        ),
        steps=[
            ("Run `postlude audit`: it names each of them, with the reason.",),
            ("Look at the log of the worker that leads the sweep.",),
        ],
        name="unaccounted jobs",
    )


def _gap(count: int) -> Trouble:
    return Trouble(
        key="gap",
        severity="wrong",
        section="jobs",
        headline=f"{jobs_text(count)} began to run in workers that are gone, and {'is' if count == 1 else 'are'} not"
        " rescued.",
        text=("That takes at most 30 s, and has now lasted for 5 min. ", _KEPT),
        steps=[("Look at the log of the worker that leads the sweep: it says why the rescue does not finish.",)],
        actions=[Action("Show the workers", page_of("workers"))],
        name="no rescue",
    )
