"""Problems say what is wrong, and where."""

import pickle

from postlude import PostludeError
from postlude.problems import BY_TYPE, FateUnknown, LedgerUnavailable, Unauthorized, Unavailable, problem_of


def test_each_problem_is_under_one_name() -> None:
    assert BY_TYPE["urn:postlude:problem:fate-unknown"] is FateUnknown
    assert issubclass(FateUnknown, LedgerUnavailable)
    assert issubclass(LedgerUnavailable, Unavailable)
    assert all(issubclass(one, PostludeError) for one in BY_TYPE.values())


def test_a_missing_key_says_how_to_give_one() -> None:
    error = problem_of({"type": "urn:postlude:problem:unauthorized", "status": 401, "detail": "Send a key."})
    assert isinstance(error, Unauthorized)
    assert str(error) == "Send a key. Set POSTLUDE_API_KEY, or pass the client its `key`."


def test_a_problem_of_which_little_is_told() -> None:
    error = problem_of({"status": 503})
    assert (type(error), error.type, error.title, error.errors) == (Unavailable, "about:blank", "", [])


def test_a_problem_goes_from_process_to_process() -> None:
    error = problem_of({"type": "urn:postlude:problem:id-taken", "status": 409, "detail": "Taken."})
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.problem) == (type(error), "Taken.", error.problem)


def test_what_is_wrong_is_told_once() -> None:
    unknown = {"loc": ["kind"], "msg": "The kind is unknown"}
    assert str(problem_of({"detail": "The kind is unknown. Known kinds: a.", "errors": [unknown]})) == (
        "The kind is unknown. Known kinds: a."
    )
    without_a_place = problem_of({"detail": "It is not valid.", "errors": [{"loc": [], "msg": "give a or b"}]})
    assert str(without_a_place) == "It is not valid. give a or b"
    in_a_list = problem_of({"detail": "No such kind.", "errors": [{"loc": ["jobs", 1], "msg": "No such kind"}]})
    assert str(in_a_list) == "No such kind. jobs.1: No such kind"
