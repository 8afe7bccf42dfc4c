"""Options of jobs that Python code enqueues have the bounds that the API's have."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from service.errors import Refused
from service.options import Options, check
from service.requests.requests import EnqueueOptions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OUT_OF_BOUNDS: dict[str, Any] = {
    "run_at": datetime(2026, 1, 1),  # noqa: DTZ001 - that is what is refused
    "delay": timedelta(seconds=-1),
    "queue": "q" * 101,
    "priority": 11,
    "max_attempts": 0,
    "timeout": timedelta(days=2),
    "expires_in": timedelta(0),
    "unique_key": "k" * 256,
    "tags": ("t",) * 21,
    "metadata": {"note": "n" * 4096},
    "lane": "tenant:*",
}


def as_json(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_what_the_api_refuses_is_refused_to_python_code_by_name(name: str) -> None:
    value = OUT_OF_BOUNDS[name]
    with pytest.raises(Refused, match=f"{name}"):
        check(Options(**{name: value}))
    with pytest.raises(ValidationError):
        EnqueueOptions.model_validate_json(json.dumps({name: as_json(value)}, default=str))


@pytest.mark.parametrize(
    "changed",
    [
        {"queue": ""},
        {"unique_key": "a\0b"},
        {"tags": ("\ud800",)},
        {"tags": ("",)},
        {"priority": True},
        {"metadata": {"a": "\0"}},
        {"metadata": {"a": float("nan")}},
        {"metadata": {"a": {1, 2}}},
        {"metadata": {1: "a"}},
        {"lane": "a\0b"},
        {"lane": "\ud800"},
        {"lane": " a"},
        {"lane": 7},
    ],
    ids=str,
)
def test_what_no_database_keeps_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        check(Options(**changed))


def test_run_at_and_delay_are_not_taken_together() -> None:
    with pytest.raises(Refused, match="not both"):
        check(Options(run_at=NOW, delay=timedelta(seconds=1)))


def test_options_within_bounds_are_taken() -> None:
    check(Options())
    check(Options(run_at=NOW.astimezone(timezone(timedelta(hours=2))), tags=("t" * 100,) * 20, priority=-10))
    check(Options(delay=timedelta(0), queue="q", max_attempts=1000, timeout=timedelta(days=1), unique_key="k" * 255))


def test_metadata_of_4_kib_is_taken_and_a_byte_more_is_refused_with_both_sizes() -> None:
    most = {"note": "é" * 2042 + "n"}  # with `{"note":""}`
    check(Options(metadata=most))
    with pytest.raises(Refused, match="may have 4096 bytes as JSON, and has 4097"):
        check(Options(metadata={"note": most["note"] + "n"}))
