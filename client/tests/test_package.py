"""What is installed."""

import subprocess
import sys
from importlib.metadata import entry_points, requires

import pytest

import postlude


def test_the_client_needs_httpx_and_pydantic_only() -> None:
    assert [one.split(">")[0] for one in requires("postlude-client") or ()] == ["httpx", "pydantic"]


def test_pytest_finds_the_plugin() -> None:
    [plugin] = entry_points(group="pytest11", name="postlude")
    assert plugin.value == "postlude.pytest_plugin"


def test_the_package_is_imported_without_its_libraries() -> None:
    script = "import postlude, sys; sys.exit(bool({'httpx', 'pydantic', 'fastapi'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", script], check=True)
    script = "from postlude import *; import sys; sys.exit('fastapi' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_name_of_the_package_is_there() -> None:
    assert [name for name in postlude.__all__ if getattr(postlude, name, None) is None] == []
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = postlude.nonesuch  # type: ignore[attr-defined]
