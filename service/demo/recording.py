"""Writes stories down with the ledger's own records, each in one transaction.

So a worker that runs meanwhile never finds a job half-made: it has ended, or waits in a held lane.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from pydantic_core import to_json
from sqlalchemy import Connection

from service.attempt_lines import KeptLine, KeptLines
from service.demo.staff import API
from service.demo.story import Attempt, Story
from service.ledger.clock import now_by
from service.ledger.fingerprint import fingerprint_of
from service.ledger.models import Enqueue, Finish, NewFlow, Start
from service.ledger.records.enqueued import record_enqueued
from service.ledger.records.finished import record_finished
from service.ledger.records.followups import record_followups
from service.ledger.records.log_lines import record_log_lines
from service.ledger.records.promoted import record_promoted
from service.ledger.records.started import record_started
from service.ledger.states import COUNTS_AS_FAILURE


def record_stories(connection: Connection, stories: Sequence[Story], flow: NewFlow | None = None) -> None:
    """Record jobs with all of their attempts. Jobs of a `flow` come in order, parents first."""
    if flow is not None:
        record_enqueued(connection, [Enqueue(tuple(story.job for story in stories), API, flow=flow)])
        for story in stories:
            record_attempts(connection, [story])
            while story.attempts and record_followups(connection, story.attempts[-1].ended_at, API).left:
                pass
        return
    record_enqueued(connection, [Enqueue((story.job,), API) for story in stories])
    record_attempts(connection, stories)
    record_promoted(connection, now_by(connection), len(stories))


def record_attempts(connection: Connection, stories: Sequence[Story], first: int = 0) -> None:
    """Record the attempts of jobs, starting with number `first`, counted from 0."""
    for number in range(first, max((len(story.attempts) for story in stories), default=0)):
        some = [(story, story.attempts[number]) for story in stories if number < len(story.attempts)]
        record_started(connection, list(_starts(some)))
        record_finished(connection, [_finish(story, attempt, number + 1) for story, attempt in some])
        record_log_lines(connection, [_lines(story, attempt, number + 1) for story, attempt in some if attempt.lines])


def _starts(some: Sequence[tuple[Story, Attempt]]) -> Iterator[Start]:
    by_claim = defaultdict[tuple[datetime, str], list[Story]](list)
    for story, attempt in some:
        by_claim[attempt.at, attempt.worker].append(story)
    for (at, worker), claimed in sorted(by_claim.items()):
        ids, kinds = (tuple({getattr(story.job, name) for story in claimed}) for name in ("id", "kind"))
        yield Start(ids, worker, kinds, at, past_lanes=True)


def _finish(story: Story, attempt: Attempt, number: int) -> Finish:
    told = attempt.trouble
    kind = story.job.counted_as
    return Finish(
        id=story.job.id,
        kind=kind,
        attempt=number,
        worker=attempt.worker,
        outcome=attempt.outcome,
        state=attempt.state,
        at=attempt.ended_at,
        failures=int(attempt.outcome in COUNTS_AS_FAILURE),
        run_at=attempt.run_at,
        result=attempt.result,
        failure=None if told is None else told.failure,
        exchange=None if told is None else told.exchange,
        fingerprint=None if told is None else fingerprint_of(kind, told.failure),
        destination=story.job.kind_lane,
    )


def _lines(story: Story, attempt: Attempt, number: int) -> KeptLines:
    step = (attempt.ended_at - attempt.at) / (len(attempt.lines) + 1)
    lines = [
        KeptLine(place, attempt.at + place * step, level, text, to_json(names).decode() if names else None)
        for place, (level, text, names) in enumerate(attempt.lines, start=1)
    ]
    return KeptLines(story.job.id, number, lines)
