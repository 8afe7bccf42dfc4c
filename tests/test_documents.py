"""What the documents state is true of the code."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import jobs
from service.requests.requests import Requests
from service.settings import Settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
SETTINGS = {f"POSTLUDE_{name.upper()}": field for name, field in Settings.model_fields.items()}
# What an application that calls Postlude may call its own settings.
CALLERS_OWN = {f"POSTLUDE_{name}" for name in ("URL", "API_KEY", "APP_NAME", "APP_URL", "APP_SECRET", "REQUIRED")}
# Files that a reader saves.
EXAMPLES = ("crm.py", "greetings.py", "receipts.py", "searching.py", "shop.py", "sign_up.py", "welcomes.py")


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S)


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "compose.yaml", ROOT / "Dockerfile"], ids=lambda path: path.name)
def test_every_named_setting_exists(path: Path) -> None:
    assert set(re.findall(r"POSTLUDE_[A-Z0-9_]+", path.read_text())) <= SETTINGS.keys() | CALLERS_OWN


def test_every_setting_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `(POSTLUDE_\w+)` \| `?(.*?)`? \| .+ \|$", (ROOT / "docs/settings.md").read_text(), re.M)
    assert dict(rows) == {name: _shown(field.default) for name, field in SETTINGS.items()}


def _shown(default: object) -> str:
    match default:
        case None:
            return "unset"
        case tuple():
            return ",".join(default) or "empty"
        case bool():
            return str(default).lower()
        case _:
            return str(default)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_named_file_exists(path: Path) -> None:
    text = path.read_text()
    linked = [path.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text)]
    named = re.findall(
        r"`((?:jobs|service|tests|docs|scripts|requirements|\.ci)/[\w./-]*|[\w-]+\.(?:py|toml|yaml|md))`", text
    )
    wanted = [*linked, *(ROOT / name for name in named if name not in EXAMPLES)]
    assert [str(missing) for missing in wanted if not missing.exists()] == []


def test_jobs_that_the_readme_sends_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [_shop, greetings] = blocks(README, "python")  # the first runs in tests/service/apps/test_moving_guide.py
    (tmp_path / "greetings.py").write_text(greetings)
    monkeypatch.syspath_prepend(tmp_path)
    requests = Requests(jobs.load(["greetings"]))
    commands = [shlex.split(line) for block in blocks(README, "sh") for line in block.splitlines() if " -d " in line]
    wanted = [requests.one.validate_json(command[command.index("-d") + 1]) for command in commands]
    assert [one.kind for one in wanted] == ["send_webhook", "send_email", "update_stats", "greet"]
    assert {command[1] for command in commands} == {"http://127.0.0.1:8000/v1/jobs"}


def test_kinds_that_the_guide_shows_are_valid() -> None:
    shown: dict[str, Any] = {}
    for block in blocks(ROOT / "docs/writing-kinds.md", "python")[:3]:
        exec(block, shown)
    kinds = {name: value.arg_names for name, value in shown.items() if isinstance(value, jobs.Kind)}
    assert kinds == {
        "make_invoice": ("customer", "net_days"),
        "greet": ("name", "times"),
        "count_words": ("paths",),
    }


def test_every_test_named_on_the_reliability_page_exists() -> None:
    written = re.findall(r"`([\w/]*test_\w+\.py)?::(test_\w+)`", (ROOT / "docs/reliability.md").read_text())
    named, file = set(), ""
    for its_file, test in written:
        file = its_file or file  # a name without a file is in the file named before it
        named.add((file, test))
    tests = {(path, test) for path in (ROOT / "tests").rglob("test_*.py") for test in _functions(path)}
    known = {(name, test) for path, test in tests for name in (path.name, str(path.relative_to(ROOT)))}
    assert named
    assert named - known == set()


def _functions(path: Path) -> list[str]:
    return re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.M)
