"""A job's final JSON, as callbacks send it: with the names that the API uses for an ended job. Pure."""

from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import RowMapping

from service.lane_rules import in_order
from service.tables import moment_text

PLAIN = (
    "id",
    "kind",
    "state",
    "queue",
    "priority",
    "attempt",
    "failures",
    "crashes",
    "max_attempts",
    "lane",
    "flow",
)
MOMENTS = ("run_at", "created_at", "started_at", "finished_at")


def readable(stored: str) -> Any:
    """Read JSON. Returns None for JSON that is nested too deep or the like, which must not keep a job from ending."""
    try:
        return from_json(stored)
    except ValueError:
        return None


def final_json(row: RowMapping) -> str:
    """Write a row of `jobs` as it is shown, without its attempts and everything else kept in other tables."""
    error, done = row["error_type"], row["progress_done"]
    shown = {name: row[name] for name in PLAIN} | {"label": row["label"] or row["kind"]}
    shown |= {name: None if row[name] is None else moment_text(row[name]) for name in MOMENTS}
    shown |= {
        "args": readable(row["args"]),
        "result": None if row["result"] is None else readable(row["result"]),
        "error": None if error is None else {"type": error, "message": row["error_message"] or ""},
        "progress": None if done is None else {"done": done, "total": row["progress_total"]},
        "tags": from_json(row["tags"]),
        "metadata": from_json(row["metadata"] or "{}"),
        "lanes": in_order(row["lane"], row["kind_lane"]),
    }
    return to_json(shown, inf_nan_mode="null").decode()
