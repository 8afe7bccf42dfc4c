from collections.abc import Iterator
from pathlib import Path

import pytest
from client.tests.fastapi.service import Service, a_service

NAMES = ("URL", "API_KEY", "APP_NAME", "APP_URL", "APP_SECRET", "REQUIRED")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"POSTLUDE_{name}", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service that the apps of a test send to, if the test is marked so."""
    with a_service() as service:
        monkeypatch.setenv("POSTLUDE_URL", service.url)
        yield service
