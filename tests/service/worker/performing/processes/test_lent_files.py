"""Files that a worker lends to a child."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from jobs.kit.files import FileGone, Files, StoredFile
from service.worker.performing.processes.files_over_link import FilesOverLink
from service.worker.performing.processes.lent_files import LentFiles
from tests.support.fakes import fake_context

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Copies:
    """Files that are copied here while they are lent, like files of a bucket."""

    def __init__(self) -> None:
        self.here: set[str] = set()

    async def get(self, file_id: str) -> StoredFile:
        if file_id == "gone":
            raise FileGone("There is no such file.")
        return StoredFile(file_id, "a", 1, "text/plain", "00", NOW, NOW)

    @asynccontextmanager
    async def local(self, file_id: str) -> AsyncIterator[Path]:
        self.here.add(file_id)
        yield Path(file_id)
        self.here.remove(file_id)


@pytest.mark.parametrize(("size", "at_once"), [(1 << 20, False), (1 << 30, True)])
async def test_a_large_file_is_given_back_at_once_and_a_small_one_with_the_next_loan(size: int, at_once: bool) -> None:
    asked: list[Any] = []

    async def call(name: str, *args: Any) -> Any:
        asked.append((name, *args))
        return Path("a"), StoredFile("a", "a", size, "text/plain", "00", NOW, NOW)

    files = FilesOverLink(call)
    async with files.local("a"):
        pass
    assert asked[1:] == ([("take_file_back", 0)] if at_once else [])
    async with files.local("a"):
        pass
    assert ("lend_file", 1, "a", [] if at_once else [0]) in asked


async def test_files_that_came_back_are_let_go_with_the_next_loan_and_the_rest_at_the_end() -> None:
    copies = Copies()
    lent = LentFiles(fake_context(files=cast(Files, cast(Any, copies))))
    path, stored = await lent.lend(0, "a", [])
    assert (path, stored.id) == (Path("a"), "a")
    await lent.lend(1, "b", [])
    assert copies.here == {"a", "b"}
    with pytest.raises(FileGone):
        await lent.lend(2, "gone", [0])
    assert copies.here == {"b"}
    await lent.lend(3, "c", [1])
    assert copies.here == {"c"}
    await lent.take_all_back()
    assert copies.here == set()
