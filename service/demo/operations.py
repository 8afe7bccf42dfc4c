"""Operations of the day, and what else operators did."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic_core import to_json
from sqlalchemy import Connection

from service.demo.day import CRM_DOWN, ORDERS_DOWN
from service.demo.recording import record_attempts, record_stories
from service.demo.staff import API
from service.demo.story import TAG, Author, Story, id_at, just_before_claim
from service.demo.troubles import crm_away
from service.demo.waiting import CAMPAIGN_LANE, CAMPAIGN_TAG, ORDERS_LANE
from service.ledger.operations import Action, Against, NewOperation, Place
from service.ledger.records.cancelled import Cancel, record_cancelled
from service.ledger.records.operations import Page, record_counted, record_operation, record_page, record_stopped
from service.ledger.records.replayed import Replay, record_replayed
from service.options import Options
from service.trail.entries import Begun, Ended, Ending
from service.trail.records import record_begun, record_ended

ANN, BO = "ann (demo)", "bo (demo)"
PRINCIPALS = tuple(f"user:{name}" for name in (ANN, BO))
_REPLAYED, _CANCELLED = timedelta(hours=6, minutes=30), timedelta(hours=3)
_FAILED, _REMINDERS, _OF_THEM_CANCELLED = 46, 40, 25


def record_operations(connection: Connection, author: Author) -> list[Story]:
    """Record operations with their members; return the jobs."""
    return [*_replay(connection, author), *_cancel(connection, author)]


def _replay(connection: Connection, author: Author) -> list[Story]:
    """Make calls that used up their attempts while the CRM was down, and that somebody replayed."""
    now = author.staff.now
    stories = [_failed(author, number, now - CRM_DOWN[0] + timedelta(seconds=11 * number)) for number in range(_FAILED)]
    record_stories(connection, stories)
    at, ids = now - _REPLAYED, [story.job.id for story in stories]
    chosen = {"kind": ["call_app"], "state": ["failed"], "error_type": ["CrmUnavailable"]}
    operate = _begin(connection, author, at, ANN, "replay", "Replay what the CRM missed", chosen, rate=2.0)
    operation = operate.job.id
    record_counted(connection, operation, len(ids), at + timedelta(seconds=1), is_all=True)
    ended = at + timedelta(seconds=len(ids) / 2)
    page = Page(operation, None, _place(stories[-1]), True, ids, {})
    record_page(connection, page, lambda held: _replayed(held, ids, at), ended)
    for number, story in enumerate(stories):
        story.attempts[-1].run_at = at  # due again
        author.succeed(story, at + timedelta(seconds=1 + number / 2), 0.7, {"pushed": True})
    record_attempts(connection, stories, first=len(stories[0].attempts) - 1)
    counts = {"state": "succeeded", "matched": len(ids), "done": len(ids), "failed": 0}
    author.succeed(operate, operate.next_at, len(ids) / 2, counts)
    record_attempts(connection, [operate])
    return [*stories, operate]


def _failed(author: Author, number: int, at: datetime) -> Story:
    args = {"app": "shop", "function": "crm.sync_customer", "arguments": {"customer": number}}
    story = author.story("call_app", args, just_before_claim(at))
    while not story.is_over:
        author.fail(story, story.next_at, crm_away(), 20.0)
    return story


def _replayed(connection: Connection, ids: Sequence[str], at: datetime) -> dict[str, Against]:
    record_replayed(connection, [Replay(job_id, at) for job_id in ids])
    return {}


def _cancel(connection: Connection, author: Author) -> list[Story]:
    """Make an operation that cancels reminders, and that somebody stopped half-way."""
    at = author.staff.now - _CANCELLED
    stories = [_reminder(author, number, at - timedelta(minutes=50)) for number in range(_REMINDERS)]
    record_stories(connection, stories)
    chosen = {"tag": f"{CAMPAIGN_TAG}-reminder"}
    operate = _begin(connection, author, at, BO, "cancel", "Cancel the reminders", chosen)
    record_counted(connection, operate.job.id, len(stories), at + timedelta(seconds=1), is_all=True)
    some = [story.job.id for story in stories[:_OF_THEM_CANCELLED]]
    page = Page(operate.job.id, None, _place(stories[_OF_THEM_CANCELLED - 1]), False, some, {})
    record_page(connection, page, lambda held: _cancelled(held, some, at), at + timedelta(seconds=2))
    record_stopped(connection, operate.job.id, API, at + timedelta(seconds=3))
    for story in (*stories[:_OF_THEM_CANCELLED], operate):
        story.cancelled_at = at
    return [*stories, operate]


def _reminder(author: Author, number: int, at: datetime) -> Story:
    args = {"to": [f"reader-{number}@example.com"], "subject": "Did you see it?", "text": "Our winter catalogue."}
    options = Options(run_at=author.staff.now + timedelta(days=3), lane=CAMPAIGN_LANE)
    at += timedelta(milliseconds=40 * number)
    return author.story("send_email", args, at, tags=[f"{CAMPAIGN_TAG}-reminder"], options=options)


def _cancelled(connection: Connection, ids: Sequence[str], at: datetime) -> dict[str, Against]:
    record_cancelled(connection, [Cancel(job_id, API, at) for job_id in ids])
    return {}


def _begin(
    connection: Connection,
    author: Author,
    at: datetime,
    by: str,
    action: Action,
    name: str,
    chosen: Mapping[str, object],
    rate: float | None = None,
) -> Story:
    """Record an operation and its job, which have one id."""
    operate = author.story("operate", {"operation": id_at(at)}, at)
    told = to_json({"tag": TAG, **chosen}).decode()
    operation = operate.job.id
    operate.job.args = to_json({"operation": operation}).decode()
    new = NewOperation(operation, action, told, at, name=name, rate=rate, principal=f"user:{by}", job_id=operation)
    record_operation(connection, new, operate.job, API)
    return operate


def _place(story: Story) -> Place:
    return Place(story.job.created_at, story.job.id)


def record_trail(connection: Connection, author: Author, stories: Sequence[Story]) -> None:
    """Record what operators did, as the audit shows it."""
    now = author.staff.now
    replay, cancel = (story.job.id for story in stories if story.job.kind == "operate")
    held = ({"breaker": "auto"}, {"breaker": "open"})
    paused = ({"paused": False}, {"paused": True, "paused_until": None})
    rate = ({"concurrency": None}, {"concurrency": 20})
    deeds = [
        (now - timedelta(hours=9), BO, "set", "lane", "app:shop", *rate),
        (now - _REPLAYED, ANN, "start", "operation", replay, None, None),
        (now - _CANCELLED, BO, "start", "operation", cancel, None, None),
        (now - _CANCELLED + timedelta(seconds=3), BO, "stop", "operation", cancel, None, None),
        (now - timedelta(hours=2), BO, "pause", "lane", CAMPAIGN_LANE, *paused),
        (now - timedelta(minutes=40), ANN, "pause", "schedule", "demo-daily-digest", *paused),
        (now - ORDERS_DOWN + timedelta(minutes=6), ANN, "set", "lane", ORDERS_LANE, *held),
    ]
    for at, name, action, sort, target, before, after in deeds:
        was, now_is = (None if one is None else to_json(one).decode() for one in (before, after))
        begun = Begun(id_at(at), at, f"user:{name}", name, "192.0.2.17", action, sort, target, was)
        record_begun(connection, [begun])
        record_ended(connection, [Ended(begun.id, target, Ending.DONE, was, now_is, None)])
