"""The drawing of a job's states: its own way is solid, what it never was is a ghost, and its size is bounded."""

import re

from service.dashboard.job.machine import _PLACES, _RARE, _USUAL, HEIGHT, WIDTH, Machine, machine
from service.ledger.states import State
from tests.service.dashboard.job.test_timeline import attempt, job, told


def node(drawn: Machine, state: State) -> tuple[str | None, bool]:
    [found] = [one for one in drawn.nodes if one.state is state]
    return found.sub, found.is_here


def test_a_failed_job_is_drawn_with_its_visits_and_times() -> None:
    row = job(State.FAILED, due=6, ended=16, max_attempts=3)
    attempts = attempt(1, 0.3, 1.3), attempt(2, 5, 6), attempt(3, 7, 16)
    drawn = machine(told(row, *attempts, now=16 + 7 * 60))
    assert node(drawn, State.QUEUED) == ("0.3 s", False)
    assert node(drawn, State.RUNNING) == ("3 \N{MULTIPLICATION SIGN}, 11 s", False)
    assert node(drawn, State.RETRYING) == ("2 \N{MULTIPLICATION SIGN}, 4.7 s", False)
    assert node(drawn, State.FAILED) == ("7 min ago", True)
    assert node(drawn, State.SUCCEEDED) == (None, False)
    assert [edge.times for edge in drawn.edges if edge.times] == [
        "2 \N{MULTIPLICATION SIGN}",
        "2 \N{MULTIPLICATION SIGN}",
    ]
    assert sum(edge.went for edge in drawn.edges) == 4
    assert drawn.label == (
        "The states of this job: queued for 0.3 s, running 3 times for 11 s, retrying 2 times for 4.7 s, then failed."
    )


def test_a_waiting_job_is_told_so_far() -> None:
    drawn = machine(told(job(State.QUEUED), now=219))
    assert node(drawn, State.QUEUED) == ("3 min 39 s so far", True)
    tried = [attempt(number, 60 * number, 60 * number + 1) for number in (1, 2, 3)]
    row = job(State.RETRYING, due=600, max_attempts=10)
    assert node(machine(told(row, *tried, now=1_700)), State.RETRYING)[0] == "3 \N{MULTIPLICATION SIGN}, 27 min so far"
    assert not any(edge.went for edge in drawn.edges)
    assert (len(drawn.edges), drawn.height) == (len(_USUAL), HEIGHT)


def test_a_way_back_is_drawn_where_it_was_gone() -> None:
    row = job(State.QUEUED, due=100, max_attempts=1)
    drawn = machine(told(row, attempt(1, 1, 2, "cancelled")))
    assert len(drawn.edges) == len(_USUAL) + 1
    assert drawn.height > HEIGHT


def test_the_drawing_of_a_job_with_hundreds_of_attempts_is_as_large() -> None:
    attempts = [attempt(number, number * 10, number * 10 + 1, "snoozed") for number in range(1, 801)]
    drawn = machine(told(job(State.RETRYING, due=9_000), *attempts, now=8_500))
    assert (len(drawn.nodes), len(drawn.edges)) == (8, len(_USUAL))
    assert node(drawn, State.RUNNING) == ("800 \N{MULTIPLICATION SIGN}, 13 min 20 s", False)


def test_each_edge_leads_from_its_state_to_its_other() -> None:
    for (start, end), path in {**_USUAL, **_RARE}.items():
        numbers = [float(one) for one in re.findall(r"[\d.]+", path)]
        assert all(0 <= one <= WIDTH for one in numbers), path
        x, y = _PLACES[start]
        assert x <= numbers[0] <= x + 170, (start, end)
        assert y <= numbers[1] <= y + 52, (start, end)
    assert all(start is not end for start, end in {**_USUAL, **_RARE})
