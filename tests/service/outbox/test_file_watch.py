"""A write of anybody else to a SQLite file is noticed; one that cannot be asked counts as written."""

import sqlite3
from pathlib import Path

import pytest

from service.outbox.file_watch import FileWatch


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_commit_of_another_connection_is_noticed_once(tmp_path: Path, journal: str) -> None:
    with sqlite3.connect(tmp_path / "app.db") as other:
        other.execute(f"PRAGMA journal_mode = {journal}")
        other.execute("CREATE TABLE t (n)")
    watch = FileWatch(tmp_path / "app.db")
    assert watch.has_changed()
    assert not watch.has_changed()
    other.execute("INSERT INTO t VALUES (1)")
    assert not watch.has_changed()
    other.commit()
    assert watch.has_changed()
    assert not watch.has_changed()
    watch.close()
    other.close()


def test_a_file_that_is_not_there_is_not_made_and_its_successor_is_found(tmp_path: Path) -> None:
    path = tmp_path / "app ä?.db"
    watch = FileWatch(path)
    assert watch.has_changed()
    assert not path.exists()
    for name in ("app ä?.db", "next.db"):
        with sqlite3.connect(tmp_path / name) as made:
            made.execute("CREATE TABLE t (n)")
        made.close()
    assert watch.has_changed()
    (tmp_path / "next.db").replace(path)
    watch.close()
    assert watch.has_changed()
    watch.close()
