"""Jobs of requests that are under way at the same moment go to the service together: one post costs as much as one job.

The first posts go at once, each by itself. Tasks that come while this many are under way wait for the next post. The
several jobs of one request, which must be taken as a whole, go alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from postlude.errors import PostludeError, Unreachable
from postlude.new_job import NewJob
from postlude.problems import Unavailable

POSTS = 4
"""This many posts are under way at once, so that one that hangs does not hold up the others."""
MOST_JOBS = 50
"""How many go together: fewer bytes than the service takes, even if each is as large as may be."""

Jobs = Sequence[NewJob]
Ids = Sequence[str]
Post = Callable[[Sequence[Jobs]], Awaitable[Sequence[Ids]]]
"""Posts the jobs of one request or, if each has one, of several; returns their ids. Raises `PostludeError`."""

_Waiting = tuple[Jobs, "asyncio.Future[Ids]"]


class Gathering:
    """The jobs that wait in one event loop."""

    def __init__(self, post: Post, within_s: float) -> None:
        self._post, self._within_s = post, within_s
        self._waiting: deque[_Waiting] = deque()
        self._posting: set[asyncio.Task[None]] = set()

    async def enqueue(self, jobs: Jobs) -> Ids:
        """Return the ids of a request's jobs, once they are enqueued. Raises `PostludeError`."""
        enqueued: asyncio.Future[Ids] = asyncio.get_running_loop().create_future()
        self._waiting.append((jobs, enqueued))
        if len(self._posting) < POSTS:
            posting = asyncio.create_task(self._post_all())
            self._posting.add(posting)
            posting.add_done_callback(self._posting.discard)
        try:
            return await asyncio.wait_for(enqueued, self._within_s)
        except asyncio.TimeoutError:
            raise Unreachable(f"The service has not come to these tasks within {self._within_s:g} s.") from None

    async def _post_all(self) -> None:
        while some := self._take():
            await self._post_some(some)

    def _take(self) -> list[_Waiting]:
        """Take the next out of the line, except tasks whose request was given up."""
        some: list[_Waiting] = []
        while self._waiting and len(some) < MOST_JOBS:
            if some and max(len(some[0][0]), len(self._waiting[0][0])) > 1:
                break
            jobs, enqueued = self._waiting.popleft()
            if not enqueued.done():
                some.append((jobs, enqueued))
        return some

    async def _post_some(self, some: Sequence[_Waiting]) -> None:
        try:
            ids = await self._post([jobs for jobs, _ in some])
        except Exception as error:  # noqa: BLE001 - raised in the callers that wait
            if len(some) > 1 and _is_of_one(error):
                await asyncio.gather(*(self._post_some([one]) for one in some))
                return
            for _, enqueued in some:
                if not enqueued.done():
                    enqueued.set_exception(error)
        else:
            for (_, enqueued), its_ids in zip(some, ids, strict=True):
                if not enqueued.done():
                    enqueued.set_result(its_ids)


def _is_of_one(error: Exception) -> bool:
    """Whether one job may be to blame, so that the others should be posted without it."""
    return isinstance(error, PostludeError) and not isinstance(error, Unreachable | Unavailable)
