import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from service.files.local_files import LocalFiles

DAY = timedelta(days=1)


def written_ago(folder: Path, name: str, period: timedelta) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
    os.utime(path, (time.time() - period.total_seconds(),) * 2)
    return path


async def test_files_are_read_back_also_from_subfolders(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path / "files")
    await files.write("report.csv", b"a,b")
    await files.write("2026/01/thumb.png", b"\x89PNG\0")
    assert await files.read("report.csv") == b"a,b"
    assert await files.read("2026/01/thumb.png") == b"\x89PNG\0"


async def test_writing_again_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    await files.write("a", b"one")
    await files.write("a", b"two")
    assert await files.read("a") == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


async def test_a_file_is_replaced_whole_never_in_place(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    await files.write("a", b"one")
    with (tmp_path / "a").open("rb") as reading:
        await files.write("a", b"two")
        assert reading.read() == b"one"


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside", "", ".", "a\0b", "link/outside"])
async def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "link").symlink_to(tmp_path)
    (tmp_path / "outside").write_text("kept")
    files = LocalFiles(tmp_path / "files")
    with pytest.raises(ValueError):
        await files.write(name, b"x")
    with pytest.raises(ValueError):
        await files.read(name)
    assert (tmp_path / "outside").read_text() == "kept"


async def test_reading_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await LocalFiles(tmp_path).read("nothing")


async def test_a_purge_deletes_what_is_older_and_nothing_else(tmp_path: Path) -> None:
    old = [written_ago(tmp_path, name, DAY * 1.1) for name in ("old", "sub/old")]
    young = [written_ago(tmp_path, name, DAY * 0.9) for name in ("young", "sub/young")]
    assert await LocalFiles(tmp_path).purge(DAY, dry_run=False) == 2
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in young)


async def test_a_dry_run_counts_the_same_and_deletes_nothing(tmp_path: Path) -> None:
    old = written_ago(tmp_path, "old", DAY * 2)
    assert await LocalFiles(tmp_path).purge(DAY, dry_run=True) == 1
    assert old.exists()


async def test_a_purge_follows_no_link(tmp_path: Path) -> None:
    outside = written_ago(tmp_path, "outside/kept", DAY * 2)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "files" / "broken").symlink_to(tmp_path / "nowhere")
    assert await LocalFiles(tmp_path / "files").purge(DAY, dry_run=False) == 0
    assert outside.exists()


async def test_a_purge_of_a_folder_that_is_not_there_deletes_nothing(tmp_path: Path) -> None:
    assert await LocalFiles(tmp_path / "none").purge(DAY, dry_run=False) == 0


async def test_writing_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        await LocalFiles(tmp_path).write("x" * 300, b"data")
    assert list(tmp_path.iterdir()) == []
