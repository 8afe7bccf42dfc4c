"""The order of a flow's jobs, and the refusal if there is none."""

import random
import time
from typing import Any

import pytest

from service.api.flow_graph import Node, in_order
from service.errors import FlowInvalid


def nodes(**after: str) -> list[Node]:
    return [Node(name, tuple(parents)) for name, parents in after.items()]


def mistakes(some: list[Node]) -> list[dict[str, Any]]:
    with pytest.raises(FlowInvalid) as refused:
        in_order(some)
    assert refused.value.errors
    return refused.value.errors


def test_jobs_stay_in_the_order_in_which_they_came_where_it_is_one() -> None:
    assert in_order(nodes(a="", b="a", c="", d="ab")) == [0, 1, 2, 3]


def test_jobs_come_behind_the_ones_that_they_name() -> None:
    random.seed(7)
    for _ in range(50):
        edges = {n: random.sample(range(n), random.randint(0, min(n, 4))) for n in range(30)}
        shuffled = random.sample(range(30), 30)
        some = [Node(str(n), tuple(map(str, edges[n]))) for n in shuffled]
        order = [some[place] for place in in_order(some)]
        seen: set[str] = set()
        for node in order:
            assert set(node.after) <= seen
            seen.add(node.name)
        assert len(seen) == 30


def test_a_cycle_is_told_as_it_runs_with_the_place_of_one_of_its_edges() -> None:
    [error] = mistakes(nodes(x="", a="xc", b="a", c="b"))
    assert "a → b → c → a" in error["msg"]
    assert error["loc"] == ["jobs", 1, "after", 1]


def test_a_cycle_of_ten_thousand_is_told_briefly_and_soon() -> None:
    began = time.thread_time()
    [error] = mistakes([Node(f"job-{n}", (f"job-{(n - 1) % 10_000}",)) for n in range(10_000)])
    assert time.thread_time() - began < 2
    assert "(9,991 more)" in error["msg"]
    assert len(error["msg"]) < 300


def test_every_unknown_name_and_self_edge_is_told_at_its_place() -> None:
    errors = mistakes(nodes(a="", b="abz", c="y"))
    assert [(one["loc"], one["msg"]) for one in errors] == [
        (["jobs", 1, "after", 1], "a job cannot come after itself"),
        (["jobs", 1, "after", 2], "no job has the name 'z'"),
        (["jobs", 2, "after", 0], "no job has the name 'y'"),
    ]


def test_two_jobs_with_one_name_are_told_at_the_second() -> None:
    [error] = mistakes([Node("a", ()), Node("b", ()), Node("a", ("b",))])
    assert error["loc"] == ["jobs", 2, "name"]
    assert "job 0" in error["msg"]


def test_no_more_than_a_hundred_mistakes_are_told() -> None:
    assert len(mistakes([Node(f"job-{n}", ("nowhere",)) for n in range(1_000)])) == 100
    assert len(mistakes([Node("same", ()) for _ in range(1_000)])) == 100
