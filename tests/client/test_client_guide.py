"""What docs/client.md and the client's README show works as it says."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings

ROOT = Path(__file__).parents[2]
KINDS = "welcomes"


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with the kind that the guide defines."""
    [code] = re.findall(
        rf"^```python\n(# {KINDS}\.py\n.*?)^```", (ROOT / "docs" / "client.md").read_text(), re.M | re.S
    )
    (tmp_path / f"{KINDS}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, KINDS, raising=False)
    return settings.model_copy(update={"jobs": (KINDS,)})


def run(document: Path, url: str, shown: dict[str, Any]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text(), re.M | re.S)
    assert blocks
    for number, block in enumerate(blocks):
        here = block.replace("http://127.0.0.1:8000", url)
        exec(compile(here, f"{document.name}, block {number}", "exec"), shown)


async def test_the_guide_works_from_top_to_bottom(
    url: str, working: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSTLUDE_URL", url)
    shown: dict[str, Any] = {}
    await asyncio.to_thread(run, ROOT / "docs" / "client.md", url, shown)
    shown["client"].close()
    told = capsys.readouterr().out
    assert told.startswith("succeeded Welcome, Ann!\n")
    assert "state='succeeded'" in told
    assert "args.email: Field required; args.mail: Extra inputs are not permitted; did you mean 'email'?\n" in told
    assert len(shown["ids"]) == 2


async def test_the_readme_works(url: str, working: None, capsys: pytest.CaptureFixture[str]) -> None:
    shown: dict[str, Any] = {}
    await asyncio.to_thread(run, ROOT / "client" / "README.md", url, shown)
    shown["client"].close()
    assert capsys.readouterr().out == "succeeded\n"


def test_the_readme_names_every_module_of_the_client_itself() -> None:
    named = set(re.findall(r"`(\w+\.py)`", (ROOT / "client" / "README.md").read_text()))
    modules = {path.name for path in (ROOT / "client" / "src" / "postlude").glob("*.py")}
    assert named <= modules
