"""Where the ledger is, as messages say it."""

from pathlib import Path

import pytest

from service.errors import StartRefused
from service.ledger_place import ledger_place, refuse_missing_ledger
from service.settings import Settings


def test_a_ledger_is_named_by_its_file_or_its_server_and_never_with_its_password(tmp_path: Path) -> None:
    assert ledger_place(Settings(data_dir=tmp_path)) == str(tmp_path.resolve() / "postlude.db")
    settings = Settings(data_dir=tmp_path, database_url="postgresql+asyncpg://ann:s3cret@db.example/jobs")
    assert ledger_place(settings) == "jobs on db.example"
    refuse_missing_ledger(settings)


def test_a_ledger_that_is_not_there_is_refused_with_its_path_and_the_setting_that_names_it(tmp_path: Path) -> None:
    path = tmp_path.resolve() / "postlude.db"
    for settings, setting in (
        (Settings(data_dir=tmp_path), "POSTLUDE_DATA_DIR"),
        (Settings(database_url=f"sqlite+aiosqlite:///{path}"), "POSTLUDE_DATABASE_URL"),
    ):
        with pytest.raises(StartRefused, match=f"no ledger at {path}.*set {setting}"):
            refuse_missing_ledger(settings)
    path.touch()
    refuse_missing_ledger(Settings(data_dir=tmp_path))
