import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any, NamedTuple

pages: dict[str, str] = {}
views: Counter[str] = Counter()
steps: list[Any] = []


class Reader(NamedTuple):
    name: str
    since: int


async def invalidate(*paths: str) -> None:
    for path in paths:
        await asyncio.sleep(0)
        pages.pop(path, None)


def count(slug, by=1, **who):  # type: ignore[no-untyped-def]
    views[slug] += by
    steps.append((slug, by, who))


async def forget(pattern: str | None, *, after: timedelta = timedelta(0), dry: bool = False) -> int:
    steps.append(("forget", pattern, after, dry))
    return len(pages)


def fail(reason: str) -> None:
    raise RuntimeError(reason)


def note(step: str) -> None:
    steps.append(step)
