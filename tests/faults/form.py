"""The form of the fault suite, and the figures that its tests report."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest

WHOLE = os.environ.get("FAULTS_WHOLE") == "1"
"""Longer and more often, as in `make faults`; otherwise the short form of `make test`."""


_FAULTS = Path(__file__).parent
_DATABASES = ("sqlite", "postgres")


def apply_form(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the form does not run.

    The short form leaves out what is marked `short` for another parameter and, of the fault suite, what is not marked.
    The whole form runs the fault suite, and whatever is marked `short` elsewhere.
    """
    wanted = [item for item in items if (_is_whole(item) if WHOLE else _is_short(item))]
    kept = set(wanted)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = wanted
    if WHOLE:
        for item in items:
            item.add_marker(pytest.mark.timeout(900))


def _is_whole(item: pytest.Item) -> bool:
    return _is_of_faults(item.path) or item.get_closest_marker("short") is not None


def _is_short(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("short")
    if marker is None:
        return not _is_of_faults(item.path)
    parts: Sequence[str] = marker.args
    return all(part in item.nodeid or _is_of_no_database(part, item) for part in parts)


@cache
def _is_of_faults(module: Path) -> bool:
    return _FAULTS in module.parents


def _is_of_no_database(part: str, item: pytest.Item) -> bool:
    """Whether a test knows no database, where a module's marker names one."""
    return part in _DATABASES and not any(name in item.nodeid for name in _DATABASES)


class Figures(Protocol):
    """Records what a run measured, for the report."""

    def __call__(self, fault: str, **measured: float) -> None: ...
