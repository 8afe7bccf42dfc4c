"""The options of a schedule's jobs, as JSON."""

from datetime import timedelta
from typing import Any

from pydantic_core import from_json, to_json

from jobs import Lane, Rate
from jobs.kit.lane import to_lane
from service.options import Options

_DURATIONS = ("timeout", "expires_in")


def written_options(options: Options) -> str:
    """Write the options that differ from the default, under their names in requests."""
    said = {name: value for name, value in options._asdict().items() if value != Options._field_defaults[name]}
    for name in _DURATIONS:
        if name in said:
            said[name] = said[name].total_seconds()
    if (lane := to_lane(options.lane)) is not None:
        said["lane"] = _written_lane(lane)
    return to_json(said).decode()


def read_options(stored: str) -> Options:
    """Read what `written_options` wrote."""
    said: dict[str, Any] = from_json(stored)
    for name in _DURATIONS:
        if name in said:
            said[name] = timedelta(seconds=said[name])
    if "tags" in said:
        said["tags"] = tuple(said["tags"])
    if "lane" in said:
        said["lane"] = _read_lane(said["lane"])
    return Options(**said)


def _written_lane(lane: Lane) -> dict[str, Any]:
    rate = None if lane.rate is None else {"limit": lane.rate.limit, "per": lane.rate.per_s}
    limits = {"concurrency": lane.concurrency, "rate": rate, "order": lane.order}
    return {"key": lane.key} | {name: value for name, value in limits.items() if value is not None}


def _read_lane(stored: dict[str, Any]) -> Lane:
    rate = stored.pop("rate", None)
    return Lane(**stored, rate=None if rate is None else Rate(rate["limit"], rate["per"]))
