"""Words for people: numbers with their nouns, and names in a list."""

from service.words import counted, listed


def test_a_number_has_its_noun() -> None:
    assert counted(1, "worker") == "1 worker"
    assert counted(4_861, "worker") == "4,861 workers"
    assert counted(2, "lane is", "lanes are") == "2 lanes are"


def test_names_are_listed_as_one_says_them() -> None:
    assert listed(["a"], 1) == "a"
    assert listed(["a", "b"], 2) == "a and b"
    assert listed(["a", "b", "c", "d"], 12) == "a, b, c and 9 more"
