"""The resident memory is reported if the system tells it; if not, the heartbeat goes on without."""

from pathlib import Path

import pytest

from service.worker.keeping import memory_use


def test_resident_memory_is_that_of_this_process() -> None:
    resident = memory_use.resident_bytes()
    assert resident is not None
    assert 10 * 1024**2 < resident < 100 * 1024**3


def test_where_no_file_can_be_opened_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory_use, "_STATM", tmp_path / "none")
    assert memory_use.resident_bytes() is None
