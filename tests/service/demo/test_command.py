"""The command on a data dir of its own, without any server."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from service import logs
from service.demo import day
from service.demo.command import demo


def test_it_fills_a_new_data_dir_without_redis_and_takes_all_of_it_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day, "JOBS", 50)
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # it would stay so for the next test
    monkeypatch.setenv("POSTLUDE_DATA_DIR", str(tmp_path))
    filled = CliRunner().invoke(demo)
    assert filled.exit_code == 0, filled.output
    assert "figures" in filled.output
    assert f" s, in {tmp_path.resolve() / 'postlude.db'}. `POSTLUDE_DATA_DIR={tmp_path} " in filled.output
    removed = CliRunner().invoke(demo, ["--remove"])
    count = removed.output.rpartition(" jobs of the demo")[0].rpartition("\n")[2]
    assert f"\n{count} jobs in" in filled.output
    monkeypatch.setenv("POSTLUDE_ALERT_TO", "mailto:ops@example.com")
    refused = CliRunner().invoke(demo)
    assert "POSTLUDE_ALERT_TO is set" in str(refused.exception)
