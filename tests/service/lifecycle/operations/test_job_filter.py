"""A filter that is written for an operation means the same jobs as the list that it was made from."""

from typing import Any

from pydantic_core import from_json

from service.lifecycle.operations.job_filter import JobFilter, written_filter

WHOLE: dict[str, Any] = {
    "state": ["failed"],
    "kind": ["a", "b"],
    "queue": ["q"],
    "error_type": ["E"],
    "fingerprint": "f",
    "tag": "t",
    "lane": "l",
    "flow": "w",
    "created_after": "2026-01-01T00:00:00Z",
    "created_before": "2026-01-02T00:00:00Z",
    "finished_after": "2026-01-03T00:00:00Z",
    "finished_before": "2026-01-04T00:00:00Z",
    "ids": ["1"],
    "args": {"user.id": [42]},
    "metadata": {"by": ["us"]},
    "q": "odd",
    "within_kinds": ["a"],
    "within_queues": ["q"],
}


def test_no_condition_is_left_out() -> None:
    assert WHOLE.keys() == JobFilter.model_fields.keys()
    assert from_json(written_filter(JobFilter.model_validate(WHOLE).filter())) == WHOLE
