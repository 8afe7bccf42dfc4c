"""Troubles of outcomes: failures that grow, ticks that did not fire, SLOs whose budget burns."""

from collections.abc import Iterator

from service.insight.facts import Facts, Growing
from service.insight.slo import HOUR, HOURS, SOON, SloState
from service.insight.trouble import Action, Severity, Trouble, page_of
from service.insight.words import Link, Time, Words, jobs_text, percent_text
from service.ledger.reads.failures import FailureGroup
from service.ledger.reads.troubled import OddTick
from service.words import counted

# At these rates a month's budget is gone in two days, or in five.
_FAST, _SLOW = 14.4, 6.0
# A single failure of a kind that seldom runs is not an emergency.
_LEAST_MISSED = 5
_MOST_TICKS = 5
_LONGEST_MESSAGE = 120


def of_outcomes(facts: Facts) -> Iterator[Trouble]:
    held = {lane.rule.key for lane in facts.held}
    for growing in facts.growing:
        if growing.group.destination not in held:  # the trouble of its lane covers it
            yield _growing(growing)
    for slo in facts.slos.values():
        if (severity := _burns(slo)) is not None:
            yield _burning(slo, severity)
    yield from map(_tick, facts.ticks[:_MOST_TICKS])


def _growing(growing: Growing) -> Trouble:
    group = growing.group
    failed: Words = ("No job has failed for good.",)
    if group.jobs_failed:
        path = page_of("jobs", query={"fingerprint": group.fingerprint, "state": "failed"})
        failed = (Link(jobs_text(group.jobs_failed), path), " failed for good and can be replayed.")
    return Trouble(
        key=f"failure:{group.fingerprint}",
        severity="wrong" if group.jobs_failed else "warning",
        section="failures",
        headline=f"{group.kind} fails more and more: {_first_line(group)}",
        text=(f"{counted(growing.lately, 'failure')} in the last 10 min. ", *failed),
        facts=[
            ("Error", (f"{group.error_type} at {group.place}" if group.place else group.error_type,)),
            ("First seen", (Time(group.first_at),)),
            ("Hour before", (counted(growing.before, "failure"),)),
        ],
        steps=[
            ("Look at one of them: its traceback, and what it sent and got back.",),
            ("Fix the cause, deploy, then replay the group.",),
        ],
        actions=[Action("Open the group", page_of("failures", group.fingerprint))],
        name=f"{group.kind} fails",
    )


def _first_line(group: FailureGroup) -> str:
    lines = group.message.splitlines()
    return lines[0][:_LONGEST_MESSAGE] if lines else group.error_type


def _burns(slo: SloState) -> Severity | None:
    if slo.total - slo.good < _LEAST_MISSED:
        return None
    if slo.burn_rates[HOUR] >= _FAST and slo.burn_rates[SOON] >= _FAST:
        return "wrong"
    return "warning" if slo.burn_rates[HOURS] >= _SLOW or slo.budget_left <= 0 else None


def _burning(slo: SloState, severity: Severity) -> Trouble:
    left = percent_text(max(0.0, slo.budget_left), digits=0)
    return Trouble(
        key=f"slo:{slo.kind}",
        severity=severity,
        section="kinds",
        headline=f"{slo.kind} misses its SLO.",
        text=(
            f"{percent_text(slo.good / slo.total)} of {jobs_text(slo.total)} succeeded in time within the last 30 days,"
            f" but {percent_text(slo.target)} should, {_span(slo)} after they are due. {left} of the error budget is"
            " left.",
        ),
        facts=[
            ("Last hour", (f"{slo.burn_rates[HOUR]:.1f} times as many misses as the budget allows",)),
            ("Last 6 h", (f"{slo.burn_rates[HOURS]:.1f} times as many",)),
        ],
        steps=[("Check whether its jobs fail or wait too long: the two need different cures.",)],
        actions=[
            Action("Open the kind", page_of("kinds", slo.kind)),
            Action("Show its failures", page_of("failures", query={"kind": slo.kind})),
        ],
        name=f"{slo.kind} misses its SLO",
    )


def _span(slo: SloState) -> str:
    seconds = slo.within.total_seconds()
    return f"{seconds:g} s" if seconds < 600 else f"{seconds / 60:g} min"


def _tick(tick: OddTick) -> Trouble:
    verb = "skipped" if tick.outcome == "skipped" else "missed"
    return Trouble(
        key=f"schedule:{tick.schedule}",
        severity="warning",
        section="schedules",
        headline=f"{tick.schedule} {verb} its {tick.due_at:%H:%M} UTC tick",
        text=(f"because {tick.reason}. ", Link("See the schedule", page_of("schedules"))),
    )
