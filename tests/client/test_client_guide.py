"""What docs/client.md and the client's README show works as it says."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


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
    assert "args.email: Field required; args.mail: Extra inputs are not permitted" in told
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
