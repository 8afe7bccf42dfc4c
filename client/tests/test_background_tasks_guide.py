"""The code of docs/background-tasks.md runs."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "background-tasks.md").read_text()
[MOVED, POLICY] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def test_code_of_the_guide_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("guide_of_background_tasks")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(MOVED + POLICY, module.__dict__)
    tasks = module.BackgroundTasks()
    assert tasks.add_task(module.send_email, "ann@example.com").id
    assert tasks.add_task(module.send_receipt, 7).id
    assert tasks.tasks[1].options["max_attempts"] == 10
