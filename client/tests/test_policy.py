import asyncio
import functools
import inspect

import pytest

from postlude.policy import place_named, policy_of, task


@task
async def plain(to: str) -> str:
    return to


@task(timeout=5, max_attempts=3, retry={"delays": [1, 2]}, lane="mail", unique=True, name="test_task.named")
def told(to: str) -> str:
    return to


def test_function_stays_itself() -> None:
    assert inspect.iscoroutinefunction(plain)
    assert asyncio.run(plain("ann")) == "ann"
    assert told("ann") == "ann"
    assert (told.__name__, plain.__module__) == ("told", __name__)


def test_policy_is_kept_aside() -> None:
    policy = policy_of(told)
    assert policy is not None
    assert policy.options == {"timeout": 5, "max_attempts": 3, "retry": {"delays": [1, 2]}, "lane": "mail"}
    assert (policy.name, policy.unique) == ("test_task.named", True)
    assert policy_of(test_function_stays_itself) is None


def test_policy_holds_for_what_wraps_the_function() -> None:
    @functools.wraps(told)
    def wrapper(to: str) -> str:
        return told(to)

    assert policy_of(wrapper) == policy_of(told)


def test_name_leads_to_the_place() -> None:
    assert place_named("test_task.named") == f"{__name__}.told"
    assert place_named("other") is None


@pytest.mark.parametrize("name", ["", "mail", "mail.", ".mail", "mail.1", "a b.c", "mail-x.y"])
def test_odd_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="write names separated by dots"):
        task(name=name)


def test_name_is_for_one_function() -> None:
    def other() -> None: ...

    with pytest.raises(ValueError, match=r"are both named 'test_task.named'"):
        task(name="test_task.named")(other)
    task(name="test_task.named")(told)  # the same, imported anew
