"""Troubles of workers: none is alive, none knows a queue or a kind, one is silent or blocked, jobs wait too long."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from service.insight.facts import Facts
from service.insight.levels import laneless_age, of_queue, unknown_kinds
from service.insight.trouble import Action, Trouble, page_of
from service.insight.words import Time, Words, jobs_text
from service.ledger.leases import BLOCKED_AFTER_S
from service.ledger.reads.troubled import MOST_COUNTED, MOST_LOST
from service.words import counted, listed

# A job that nothing holds back starts within milliseconds if there is a free slot.
LONG_WAIT_S = 60.0
_QUEUE = of_queue("waiting", "")
# The prefix of the keys of lost and silent workers.
_LOST = "worker:"
_SHOW_WORKERS = Action("Show the workers", page_of("workers"))
_ACCEPTED = "They are in the ledger; nothing is lost."


def of_workers(facts: Facts) -> Iterator[Trouble]:
    if not facts.taking:
        yield _all_drain(facts) if facts.workers else _nobody(facts)
        return
    yield from _unworked_queues(facts)
    for kind, count in unknown_kinds(facts.levels).items():
        yield _unknown_kind(kind, count, facts)
    yield from _long_waits(facts)
    yield from _lost(facts)
    yield from _blocked(facts)


def _nobody(facts: Facts) -> Trouble:
    text: Words = ("No job waits. New ones are accepted, and run when a worker is there.",)
    if facts.waiting:
        oldest: Words = () if facts.oldest_at is None else (", the oldest for ", Time(facts.oldest_at, "for"))
        verb = "waits" if facts.waiting == 1 else "wait"
        at_least = "At least " if facts.waiting >= MOST_COUNTED else ""
        text = (f"{at_least}{jobs_text(facts.waiting)} {verb}", *oldest, ". New ones are accepted. Nothing is lost.")
    last = max((one.heard_at for one in facts.lost_workers), default=None)
    return Trouble(
        key="workers",
        severity="wrong" if facts.waiting else "warning",
        section="workers",
        headline="No worker is alive, so no job runs.",
        text=text,
        facts=[] if last is None else [("Last heard from", (Time(last),))],
        steps=[
            ("Start a worker: `arq worker_settings.WorkerSettings`.",),
            ("Look at the logs of the workers that ended: their last lines say why.",),
        ],
        actions=[_SHOW_WORKERS],
        since=last,
        name="no worker",
    )


def _all_drain(facts: Facts) -> Trouble:
    waiting = int(facts.levels.get("waiting", 0))
    text = f"{jobs_text(waiting)} wait. {_ACCEPTED}" if waiting else "No job waits. New ones are accepted, and wait."
    return Trouble(
        key="workers",
        severity="wrong" if waiting else "warning",
        section="workers",
        headline="Every living worker is draining, so no new job starts.",
        text=(text,),
        steps=[("Start a worker, or restart a draining one: it takes jobs again.",)],
        actions=[_SHOW_WORKERS],
        since=min((at for worker in facts.workers if isinstance(at := worker["drain_at"], datetime)), default=None),
        name="all workers are draining",
    )


def _unworked_queues(facts: Facts) -> Iterator[Trouble]:
    for name, waiting in facts.levels.items():
        queue = name.removeprefix(_QUEUE)
        if not name.startswith(_QUEUE) or not waiting or queue in facts.queues_worked:
            continue
        others = ", ".join(sorted(facts.queues_worked))
        yield Trouble(
            key=f"queue:{queue}",
            severity="wrong",
            section="queues",
            headline=f"No living worker takes jobs from the queue {queue}.",
            text=(f"{jobs_text(int(waiting))} wait on it. {_ACCEPTED} Other queues go out as usual: {others}.",),
            steps=[(f"Start a worker with {queue} in POSTLUDE_QUEUES.",)],
            actions=[
                Action("Show the waiting jobs", page_of("jobs", query={"queue": queue, "state": "queued"})),
                _SHOW_WORKERS,
            ],
            name=f"{queue} has no worker",
        )


def _unknown_kind(kind: str, count: int, facts: Facts) -> Trouble:
    return Trouble(
        key=f"kind:{kind}",
        severity="wrong",
        section="kinds",
        headline=f"No living worker knows the kind {kind}.",
        text=(f"{jobs_text(count)} wait. {_ACCEPTED} All other kinds run as usual.",),
        facts=[("Workers", (counted(len(facts.taking), "worker") + " alive, with other code",))],
        steps=[
            (f"Deploy workers whose POSTLUDE_JOBS includes the module of {kind}.",),
            ("If the kind is gone for good, cancel its jobs.",),
        ],
        actions=[Action("Show the waiting jobs", page_of("jobs", query={"kind": kind, "state": "queued"}))],
        name=f"{kind} is unknown",
    )


def _long_waits(facts: Facts) -> Iterator[Trouble]:
    """Report queues whose jobs wait although neither a lane nor a pause holds them back."""
    paused = {rule.key for rule in facts.paused}
    if facts.redis is not None or any(key.startswith("kind:") for key in paused):
        return
    for queue in sorted(facts.queues_worked):
        age_s = facts.levels.get(laneless_age(queue), 0.0)
        if age_s < LONG_WAIT_S or f"queue:{queue}" in paused:
            continue
        running, slots = int(facts.levels.get("running", 0)), int(facts.levels.get("slots", 0))
        are_full = bool(slots) and running >= slots
        waiting = int(facts.levels.get(of_queue("waiting", queue), 0))
        since = facts.now - timedelta(seconds=age_s)
        yield Trouble(
            key=f"waits:{queue}",
            severity="warning",
            section="queues",
            headline=f"Jobs wait too long on the queue {queue}.",
            text=("The oldest has been due for ", Time(since, "for"), f", of {jobs_text(waiting)}. Nothing is lost."),
            facts=[("Slots", (f"{running:,} of {slots:,} are taken",))],
            steps=[
                ("Start more workers: every slot is taken.",)
                if are_full
                else ("Check the workers: slots are free, but the jobs do not start.",)
            ],
            actions=[
                Action("Show the waiting jobs", page_of("jobs", query={"queue": queue, "state": "queued"})),
                _SHOW_WORKERS,
            ],
            since=since,
            name=f"{queue} waits",
        )


def _lost(facts: Facts) -> Iterator[Trouble]:
    for worker in facts.lost_workers:
        rescued = "Any jobs that it ran were rescued: nothing is lost."
        yield Trouble(
            key=f"{_LOST}{worker.worker_id}",
            severity="note" if worker.is_declared else "warning",
            section="workers",
            headline=f"The worker {worker.worker_id} was lost."
            if worker.is_declared
            else f"The worker {worker.worker_id} is silent.",
            text=(
                "It was last heard from ",
                Time(worker.heard_at),
                f". {rescued if worker.is_declared else 'What it runs is rescued 30 s after that: nothing is lost.'}",
            ),
            steps=[("Look at its log and at the machine: was it out of memory?",)],
            actions=[_SHOW_WORKERS],
            since=worker.heard_at,
        )


def lost_together(troubles: Sequence[Trouble]) -> list[Trouble]:
    """Merge the troubles of lost workers into one, and those of silent workers, each at the place of the first.

    For a page: an alert is about one worker, whose key stays the same whatever becomes of others.
    """
    merged: list[Trouble] = []
    lost = [one for one in troubles if one.key.startswith(_LOST)]
    for trouble in troubles:
        alike = [one for one in lost if one.severity == trouble.severity]
        if trouble not in alike or len(alike) == 1:
            merged.append(trouble)
        elif trouble is alike[0]:
            merged.append(_several_lost(alike, may_be_more=len(lost) == MOST_LOST))
    return merged


def _several_lost(alike: Sequence[Trouble], *, may_be_more: bool) -> Trouble:
    are_declared = alike[0].severity == "note"
    names = listed([one.key.removeprefix(_LOST) for one in alike], len(alike))
    at_least = "At least " if may_be_more else ""
    fate = "Any jobs that they ran were rescued" if are_declared else "What they run is rescued 30 s after that"
    last = max(one.since for one in alike if one.since is not None)
    return replace(
        alike[0],
        key=f"{_LOST}*",
        headline=f"{at_least}{len(alike)} workers {'were lost' if are_declared else 'are silent'}: {names}.",
        text=("The last was heard from ", Time(last), f". {fate}: nothing is lost."),
        steps=[("Look at their logs and at the machines: were they out of memory?",)],
        since=last,
    )


def _blocked(facts: Facts) -> Iterator[Trouble]:
    blocked = {str(worker["id"]): float(str(worker["loop_lag_s"])) for worker in facts.workers}
    for name, lag_s in blocked.items():
        if lag_s >= BLOCKED_AFTER_S:
            yield Trouble(
                key=f"loop:{name}",
                severity="warning",
                section="workers",
                headline=f"The event loop of the worker {name} is blocked.",
                text=(
                    f"Nothing else has run in it for {lag_s:.0f} s, and its timeouts come late. Other workers go on.",
                ),
                steps=[
                    ("Its log names the kind that blocks it, and where.",),
                    ("Run the blocking call with `await ctx.thread(...)`, or write the kind as a `def`.",),
                ],
                actions=[Action("Show the workers", page_of("workers", name))],
            )
