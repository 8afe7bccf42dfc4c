import pytest

from jobs.kit.results import Parent, Results

RESULTS = Results([Parent("id-2", "load", '{"rows": 3}'), Parent("id-1", None, "[1]"), Parent("id-3", "log")])


def test_results_are_in_the_order_of_the_parents_by_their_ids() -> None:
    assert list(RESULTS) == ["id-2", "id-1", "id-3"]
    assert dict(RESULTS) == {"id-2": {"rows": 3}, "id-1": [1], "id-3": None}
    assert list(RESULTS.values()) == [{"rows": 3}, [1], None]


def test_a_parent_in_the_same_flow_is_found_by_its_name_too() -> None:
    assert RESULTS["load"] == RESULTS["id-2"]
    assert "load" in RESULTS
    assert "other" not in RESULTS
    assert RESULTS.get("other") is None


def test_an_unknown_parent_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(KeyError, match=r"did not come after 'laod'.*known: load, log"):
        RESULTS["laod"]
    with pytest.raises(KeyError, match="known: none"):
        Results()["x"]


def test_a_result_is_read_once_so_that_those_who_ask_share_it() -> None:
    assert RESULTS["load"] is RESULTS["load"]
