import re
from datetime import datetime, timezone
from unittest.mock import ANY
from uuid import UUID

import pytest
from client.tests.testing.adding import add

from postlude.testing import assert_enqueued, enqueued, refute_enqueued

ORDER = UUID("6f1c8f0e-8a55-4a3a-9b52-0d3a1f6b6f10")


def test_task_is_found_by_any_end_of_its_name_and_some_of_its_arguments() -> None:
    job_id = add("app.mail.send_welcome", email="ann@example.com", name="Ann")
    for name in ("send_welcome", "mail.send_welcome", "app.mail.send_welcome"):
        assert assert_enqueued(name).id == job_id
        assert assert_enqueued(name, email="ann@example.com").id == job_id
        assert assert_enqueued(name, name="Ann", email=ANY).id == job_id


def test_end_of_a_word_is_no_name() -> None:
    add("app.mail.send_welcome")
    for name in ("welcome", "l.send_welcome", "app.mail", ""):
        refute_enqueued(name)


def test_arguments_are_compared_as_values() -> None:
    at = datetime(2026, 1, 2, tzinfo=timezone.utc)
    add("app.report", order=ORDER, at=at, lines=[{"id": ORDER}], count=5)
    assert_enqueued("report", order=ORDER, at=at, lines=[{"id": ORDER}])
    assert_enqueued("report", order=str(ORDER), lines=[{"id": str(ORDER)}])
    refute_enqueued("report", count="5")
    refute_enqueued("report", order=object())


def test_the_first_of_several_is_returned() -> None:
    first, _ = [add("app.tell", to=to) for to in ("ann", "bo")]
    assert assert_enqueued("tell").id == first
    assert [job.arguments for job in enqueued()] == [{"to": "ann"}, {"to": "bo"}]


def test_each_test_begins_with_nothing() -> None:
    assert enqueued() == []
    add("app.tell")


def test_each_test_begins_with_nothing_again() -> None:
    test_each_test_begins_with_nothing()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "send_welcome",
            {"email": "bo@example.com"},
            """send_welcome(email='bo@example.com') was not enqueued. It was, with other arguments:
  app.mail.send_welcome(email='ann@example.com', name='Ann'): email is 'ann@example.com', not 'bo@example.com'""",
        ),
        (
            "send_welcome",
            {"mail": "ann@example.com", "name": "Ann"},
            """send_welcome(mail='ann@example.com', name='Ann') was not enqueued. It was, with other arguments:
  app.mail.send_welcome(email='ann@example.com', name='Ann'): it has no mail""",
        ),
        (
            "send_welcom",
            {},
            """send_welcom was not enqueued. Did you mean 'send_welcome'? What was:
  app.mail.send_welcome(email='ann@example.com', name='Ann')
  app.count()""",
        ),
        (
            "pay",
            {"amount": 5},
            """pay(amount=5) was not enqueued. What was:
  app.mail.send_welcome(email='ann@example.com', name='Ann')
  app.count()""",
        ),
    ],
)
def test_failure_shows_what_was_enqueued_instead(name: str, arguments: dict[str, object], message: str) -> None:
    add("app.mail.send_welcome", email="ann@example.com", name="Ann")
    add("app.count")
    with pytest.raises(AssertionError, match=f"^{re.escape(message)}$"):
        assert_enqueued(name, **arguments)


def test_failure_says_that_nothing_was_enqueued() -> None:
    with pytest.raises(AssertionError, match=r"^tell was not enqueued\. Nothing was\.$"):
        assert_enqueued("tell")


def test_refuted_task_is_shown() -> None:
    add("app.tell", to="ann")
    add("app.tell", to="bo")
    refute_enqueued("tell", to="cy")
    with pytest.raises(AssertionError) as caught:
        refute_enqueued("tell", to="bo")
    assert str(caught.value) == "tell(to='bo') was enqueued, and should not have been:\n  app.tell(to='bo')"
