"""Troubles of lanes: destinations that do not answer, and lanes that somebody has paused."""

from collections.abc import Iterator

from service.insight.facts import Facts, HeldLane
from service.insight.trouble import Action, Trouble, page_of
from service.insight.words import Link, Time, Words, jobs_text
from service.lane_rules import Rule, is_pattern
from service.ledger.reads.troubled import MOST_COUNTED
from service.words import counted

_HTTP = {frozenset({"send_webhook"}): "Webhooks", frozenset({"call_http"}): "HTTP calls"}


def of_lanes(facts: Facts) -> Iterator[Trouble]:
    for lane in facts.held:
        yield _held(lane, facts)
    if (more := facts.held_count - len(facts.held)) > 0:
        yield Trouble(
            key="lanes",
            severity="wrong",
            section="lanes",
            headline=f"{counted(more, 'more lane')} {'is' if more == 1 else 'are'} held.",
            actions=[Action("Show the lanes", page_of("lanes"))],
        )
    for rule in facts.paused:
        yield _paused(rule)


def _held(lane: HeldLane, facts: Facts) -> Trouble:
    rule, failing = lane.rule, lane.failing
    waiting, name = lane.backlog.waiting, rule.key.partition(":")[2] or rule.key
    return Trouble(
        key=f"lane:{rule.key}",
        severity="wrong" if waiting else "warning",
        section="lanes",
        headline=_headline(lane) if waiting else _idle_headline(rule, name),
        text=(*_waits(lane), *_others(facts)),
        facts=_facts(lane),
        steps=_steps(lane),
        actions=_actions(lane),
        since=failing.since,
        name=f"{name} is down" if rule.breaker_forced is None else f"{name} is held",
    )


def _headline(lane: HeldLane) -> str:
    what, _, name = lane.rule.key.partition(":")
    match what:
        case "host":
            return f"{_HTTP.get(lane.failing.kinds, 'Jobs')} to {name} are not going out."
        case "smtp":
            return f"Mail by {name} is not going out."
        case "app":
            return f"The app {name} is not being called."
        case _:
            return f"Jobs in the lane {lane.rule.key} are not going out."


def _idle_headline(rule: Rule, name: str) -> str:
    """Say what the breaker of a lane without waiting jobs does."""
    if rule.breaker_forced is not None:
        return f"The lane {rule.key} is held by hand, so none of its jobs starts."
    return f"{name} failed lately; its lane tries it with one job at a time."


def _waits(lane: HeldLane) -> Words:
    waiting, oldest_at = lane.backlog
    if not waiting:
        return ("No job waits for it. ",)
    at_least = "At least " if waiting >= MOST_COUNTED else ""
    oldest: Words = () if oldest_at is None else (", the oldest for ", Time(oldest_at, "for"))
    return (f"{at_least}{jobs_text(waiting)} {'waits' if waiting == 1 else 'wait'} for it", *oldest, ". ")


def _others(facts: Facts) -> Words:
    """Say what still goes out, if anything does."""
    count = facts.succeeded_lately
    if not count:
        return ("Waiting costs a job nothing.",)
    return (f"Everything else goes out as usual: {jobs_text(count)} succeeded in the last minute.",)


def _facts(lane: HeldLane) -> list[tuple[str, Words]]:
    rule, failing = lane.rule, lane.failing
    facts: list[tuple[str, Words]] = []
    if failing.since is not None:
        facts.append(("Since", (Time(failing.since), ", when the first attempt failed")))
    if rule.breaker_reason is not None:
        facts.append(("Answer", (rule.breaker_reason,)))
    breaker = Link("the breaker of the lane", page_of("lanes", rule.key))
    forced = rule.breaker_forced is not None
    facts.append(
        ("Held by", (breaker, ", which somebody forced open" if forced else ", which lets one job try at a time"))
    )
    if not forced and rule.breaker_until is not None:
        facts.append(("Next try", (Time(rule.breaker_until, "in"),)))
    lost: Words = ("nothing; a held job costs no attempt.",)
    if failing.jobs_failed and failing.fingerprint is not None:
        failed = Link(f"{jobs_text(failing.jobs_failed)} failed", _failed_jobs(failing.fingerprint))
        lost = (*lost, " ", failed, " before the breaker opened, and can be replayed.")
    return [*facts, ("Lost", lost)]


def _steps(lane: HeldLane) -> list[Words]:
    count = lane.failing.jobs_failed
    then: list[Words] = [(f"Then replay the {jobs_text(count).replace(' job', ' failed job')}.",)] if count else []
    if lane.rule.breaker_forced is not None:
        return [("Set the breaker back to auto when the destination is well.",), *then]
    waiting = lane.backlog.waiting
    go = f"The {jobs_text(waiting)} then {'goes' if waiting == 1 else 'go'} out by themselves." if waiting > 1 else (
        "What waits then goes out by itself."
    )  # fmt: skip
    return [
        ("Tell the people who run the receiver. Nothing in Postlude needs fixing or restarting.",),
        (f"Wait for a try to succeed. {go}",),
        *then,
    ]


def _actions(lane: HeldLane) -> list[Action]:
    key, failing = lane.rule.key, lane.failing
    actions = [Action("Open the lane", page_of("lanes", key))]
    if lane.backlog.waiting:
        actions.append(Action("Show the waiting jobs", page_of("jobs", query={"lane": key, "state": "queued"})))
    if failing.jobs_failed and failing.fingerprint is not None:
        count = jobs_text(failing.jobs_failed).replace(" job", " failed job")
        actions.append(Action(f"Replay {count}…", page_of("failures", failing.fingerprint)))
    return actions


def _failed_jobs(fingerprint: str) -> str:
    return page_of("jobs", query={"fingerprint": fingerprint, "state": "failed"})


def _paused(rule: Rule) -> Trouble:
    what, _, name = rule.key.partition(":")
    is_kind_or_queue = what in ("kind", "queue")
    named = f"The {what} {name}" if is_kind_or_queue else f"The lane {rule.key}"
    verb = "is"
    if is_pattern(rule.key):
        named, verb = f"Lanes that match {rule.key}", "are"
    until: Words = ("until somebody resumes it",)
    if rule.paused_until is not None:
        until = ("until ", Time(rule.paused_until, "at"), ", ", Time(rule.paused_until, "in"))
    section = "kinds" if what == "kind" else "queues" if what == "queue" else "lanes"
    path = page_of("kinds", name) if what == "kind" else page_of("queues" if what == "queue" else "lanes")
    return Trouble(
        key=f"paused:{rule.key}",
        severity="note",
        section=section,  # type: ignore[arg-type]
        headline=f"{named} {verb} paused.",
        text=("Jobs are accepted and wait, ", *until, "."),
        actions=[Action("Show it", path)],
    )
