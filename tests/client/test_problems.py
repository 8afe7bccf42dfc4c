"""The client has a class for each problem of the service, and no other."""

from collections.abc import Iterator

import httpx
from postlude import AsyncClient
from postlude.problems import BY_TYPE, Problem, problem_of

import service.access.errors  # noqa: F401 - whose errors count too
from service import errors, features
from service.errors import type_of

# Above others, or made by the framework; and one that no caller is ever told.
ABOVE = {"Forbidden", "Unavailable"}
OF_THE_FRAMEWORK = {"MethodNotAllowed", "InternalError"}
NEVER_TOLD = {"StartRefused"}
# Those of pages alone.
OF_PAGES = {"SignInNeeded", "SignInRefused", "CsrfTokenMissing", "TooManySignIns", "UserNotFound", "UserExists"}


def tree(above: type[errors.PostludeError]) -> Iterator[type[errors.PostludeError]]:
    for one in above.__subclasses__():
        yield one
        yield from tree(one)


def told() -> list[type[errors.PostludeError]]:
    assert features.FEATURES, "whose errors are imported with them"
    return [one for one in tree(errors.PostludeError) if one.__name__ not in NEVER_TOLD | OF_PAGES]


def test_each_problem_of_the_service_has_a_class() -> None:
    names = {one.__name__ for one in told()} | OF_THE_FRAMEWORK | ABOVE
    assert {one.__name__ for one in BY_TYPE.values()} == names
    assert {type_of(name) for name in names} == set(BY_TYPE)


def test_a_problem_that_the_client_does_not_know_is_like_others_of_its_status() -> None:
    for one in told():
        newer = problem_of({"type": "urn:postlude:problem:newer", "status": one.status})
        known = BY_TYPE[type_of(one.__name__)]
        assert type(newer) is Problem or issubclass(known, type(newer)), (one, newer)
    assert type(problem_of({"type": "urn:postlude:problem:newer", "status": 418})) is Problem


async def test_what_the_framework_refuses_is_a_problem_too(api: httpx.AsyncClient, client: AsyncClient) -> None:
    for answer in (await api.get("/v1/nothing"), await api.put("/v1/jobs")):
        assert type(problem_of(answer.json())) is not Problem
