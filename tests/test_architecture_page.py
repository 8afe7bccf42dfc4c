"""The architecture page names functions: each of them must exist, so that the page cannot rot in silence."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
# `service/lifecycle/enqueue.py:enqueue`, or a method: `service/ledger/ledger.py:Ledger.start`.
NAMED = sorted(set(re.findall(r"`((?:jobs|service|client/src)/[\w/]+\.(?:py|lua)):([\w.]+)`", PAGE)))
STORIES = (
    "One job",
    "One cancel",
    "One rescue",
    "One tick",
    "One adopted job",
    "One flow",
    "One step",
    "One change",
    "One operation",
    "One attempt in a process",
    "One background task of an app",
    "One row of an outbox",
)


@cache
def defined(path: str) -> set[str]:
    """Return the functions, classes and methods of a file, methods as `Class.method`."""
    names: set[str] = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{one.name}"
                for one in node.body
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return names


def test_every_function_that_the_page_names_exists() -> None:
    assert [f"{path}:{name}" for path, name in NAMED if name not in defined(path)] == []


def test_every_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`((?:jobs|service|tests|benchmarks)/[\w/]+\.\w+)`", PAGE))
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("story", STORIES)
def test_every_story_is_told_step_by_step(story: str) -> None:
    section = PAGE.partition(f"\n### {story}\n")[2].partition("\n#")[0]
    assert len(re.findall(r"\.py:\w", section)) >= 4
