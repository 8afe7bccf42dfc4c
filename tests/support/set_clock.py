"""A clock that tests set, in the place of the servers' time."""

from datetime import datetime
from types import ModuleType

import pytest

from tests.service.ledger.makers import NOW


class SetClock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


def set_clock(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> SetClock:
    """Have a module, which tells the time by `agreed_time`, go by a clock of the test's own."""
    clock = SetClock()
    monkeypatch.setattr(module, "agreed_time", clock)
    return clock
