"""`postlude imports`: shows and tries the targets, and prints the tables that they need."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import postlude


def ran(*words: str) -> Result:
    return CliRunner().invoke(postlude, ["imports", *words])


def test_the_tables_are_made_by_what_is_printed_and_once_more(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "app.db") as connection:
        for _ in range(2):
            connection.executescript(ran("ddl", "--dialect", "sqlite").output)
        assert connection.execute("SELECT count(*) FROM postlude_imports").fetchone() == (0,)
    assert "CREATE TABLE IF NOT EXISTS postlude_import_errors" in ran("ddl").output


def test_each_target_is_shown_and_tried(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(sqlite_template, tmp_path / "postlude.db")
    with sqlite3.connect(tmp_path / "app.db") as connection:
        connection.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
    url = f"sqlite:///{tmp_path}/app.db"
    targets = {"people": {"table": "people", "url": url}, "leads": {"kind": "take_leads"}}
    monkeypatch.setenv("POSTLUDE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("POSTLUDE_IMPORT_TARGETS", json.dumps(targets))
    shown = ran("targets")
    assert (shown.exit_code, shown.output.splitlines()) == (
        0,
        [
            "people: the table people (id integer, name text)",
            "leads: jobs of the kind take_leads, with 1,000 rows each",
        ],
    )
    away = {"gone": {"table": "nothing", "url": url}, "away": {"table": "x", "url": f"sqlite:///{tmp_path}/no.db"}}
    monkeypatch.setenv("POSTLUDE_IMPORT_TARGETS", json.dumps(away))
    shown = ran("targets")
    assert shown.exit_code == 1
    assert "gone: There is no table nothing" in shown.output
    assert "away: The target's database is away" in shown.output
