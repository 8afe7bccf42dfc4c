"""Jobs that wait at the same moment go together, and none suffers for another."""

import asyncio
from collections.abc import Sequence

import pytest

from postlude.errors import PostludeError, Unreachable
from postlude.fastapi.gathering import MOST_JOBS, POSTS, Gathering
from postlude.new_job import NewJob
from postlude.problems import ArgsInvalid, Unavailable


class Service:
    """Takes posts, one after the other, when it is let go on."""

    def __init__(self) -> None:
        self.posts: list[list[str]] = []
        self.goes_on = asyncio.Event()
        self.refused: dict[str, PostludeError] = {}

    async def post(self, some: Sequence[Sequence[NewJob]]) -> list[list[str]]:
        kinds = [job.kind for jobs in some for job in jobs]
        self.posts.append(kinds)
        await self.goes_on.wait()
        for kind in kinds:
            if kind in self.refused:
                raise self.refused[kind]
        return [[f"id of {job.kind}" for job in jobs] for jobs in some]


async def enqueue(gathering: Gathering, *kinds: str) -> str:
    """Enqueue the jobs of one request."""
    return ", ".join(await gathering.enqueue([NewJob(kind) for kind in kinds]))


async def begun(gathering: Gathering, *requests: str) -> list["asyncio.Task[str]"]:
    """Begin requests; each names the kinds of its jobs."""
    tasks = [asyncio.create_task(enqueue(gathering, *kinds.split("+"))) for kinds in requests]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def busy(gathering: Gathering) -> None:
    """Have as many posts under way as may be."""
    for number in range(POSTS):
        await begun(gathering, f"first {number}")


async def test_a_job_goes_at_once_and_those_that_come_meanwhile_go_together() -> None:
    service = Service()
    gathering = Gathering(service.post, within_s=30)
    await busy(gathering)
    assert service.posts == [[f"first {number}"] for number in range(POSTS)]
    waiting = await begun(gathering, "a", "b", "c")
    service.goes_on.set()
    assert await asyncio.gather(*waiting) == ["id of a", "id of b", "id of c"]
    assert service.posts[POSTS:] == [["a", "b", "c"]]


async def test_no_post_has_more_than_the_service_takes() -> None:
    service = Service()
    gathering = Gathering(service.post, within_s=30)
    await busy(gathering)
    waiting = await begun(gathering, *map(str, range(2 * MOST_JOBS + 1)))
    service.goes_on.set()
    await asyncio.gather(*waiting)
    assert [len(post) for post in service.posts[POSTS:]] == [MOST_JOBS, MOST_JOBS, 1]


async def test_several_jobs_of_a_request_go_alone() -> None:
    service = Service()
    gathering = Gathering(service.post, within_s=30)
    await busy(gathering)
    waiting = await begun(gathering, "a", "b", "c+d", "e", "f")
    service.goes_on.set()
    assert (await asyncio.gather(*waiting))[2:4] == ["id of c, id of d", "id of e"]
    assert service.posts[POSTS:] == [["a", "b"], ["c", "d"], ["e", "f"]]


async def test_a_job_that_is_refused_is_refused_alone() -> None:
    service = Service()
    service.refused["b"] = ArgsInvalid({"title": "no"})
    gathering = Gathering(service.post, within_s=30)
    await busy(gathering)
    waiting = await begun(gathering, "a", "b", "c")
    service.goes_on.set()
    assert await asyncio.gather(*waiting, return_exceptions=True) == ["id of a", service.refused["b"], "id of c"]


@pytest.mark.parametrize("error", [Unreachable("nobody"), Unavailable({"status": 503})])
async def test_a_service_that_is_away_is_not_asked_again_for_each(error: PostludeError) -> None:
    service = Service()
    service.refused["a"] = error
    gathering = Gathering(service.post, within_s=30)
    await busy(gathering)
    waiting = await begun(gathering, "a", "b")
    service.goes_on.set()
    assert await asyncio.gather(*waiting, return_exceptions=True) == [error, error]
    assert service.posts[POSTS:] == [["a", "b"]]


async def test_a_job_whose_request_was_given_up_in_the_line_is_not_sent() -> None:
    service = Service()
    gathering = Gathering(service.post, within_s=30)
    await busy(gathering)
    waiting = await begun(gathering, "a", "b")
    waiting[0].cancel()
    service.goes_on.set()
    assert await waiting[1] == "id of b"
    assert service.posts[POSTS:] == [["b"]]


async def test_nobody_waits_longer_than_the_time_given() -> None:
    service = Service()
    gathering = Gathering(service.post, within_s=0.05)
    with pytest.raises(Unreachable, match=r"within 0\.05 s"):
        await enqueue(gathering, "a")
    service.goes_on.set()
    assert await enqueue(gathering, "b") == "id of b"
