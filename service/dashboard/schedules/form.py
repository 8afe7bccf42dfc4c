"""The form that makes or changes a schedule: its content, the request it makes, and what is wrong with it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any
from zoneinfo import available_timezones

from pydantic_core import PydanticSerializationError, from_json, to_json

from jobs.kit.cron import CronInvalid, expression
from jobs.kit.masking import MASK
from service.dashboard.schedules.cron_words import in_words, in_zone
from service.dashboard.schedules.listing import when_of
from service.errors import ArgsInvalid, PostludeError
from service.lifecycle.schedules.schedules import View
from service.vault import Vault

_SHOWN = 5
_TEXTS = ("kind", "cron", "time_zone", "catch_up", "overlap", "start", "end")
_JSON = ("args", "options")
CATCH_UP = (("last", "The last one"), ("none", "None of them"), ("all", "All of them"))
OVERLAP = (("allow", "Enqueue another"), ("skip", "Skip the tick"), ("replace", "Cancel it, and enqueue another"))


@dataclass(frozen=True, slots=True)
class ScheduleForm:
    """The present form: the text of each field. `errors` are keyed by field name; "" is for the whole form."""

    name: str
    is_new: bool
    values: Mapping[str, str]
    errors: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        return self.values.get(name, "")

    def keeping_options(self, view: View) -> "ScheduleForm":
        """Return the form with the schedule's options, for callers who may not see them."""
        options = "{}" if view.row is None else view.row["options"]
        return replace(self, values={**self.values, "options": options})

    def body(self, kept: Mapping[str, Any] | None = None) -> bytes:
        """Return the body of the request, with the `kept` args or else the form's.

        Raises `ArgsInvalid` for a field that is not JSON, and for a mask in place of a secret.
        """
        said: dict[str, Any] = {name: self.text(name) for name in _TEXTS if self.text(name)}
        said["options"] = _read_json("options", self.text("options") or "{}")
        said["args"] = self.args() if kept is None else kept
        if kept is None and MASK in self.text("args"):
            raise _wrong("args", f"Type the secrets again: {MASK} stands for what is not shown")
        if self.text("jitter"):
            said["jitter"] = _read_json("jitter", self.text("jitter"))
        try:
            return to_json(said)
        except PydanticSerializationError as error:
            raise _wrong("args", "it contains half of a character (a lone surrogate)") from error

    def args(self) -> Any:
        return _read_json("args", self.text("args") or "{}")

    def refused(self, error: PostludeError) -> "ScheduleForm":
        """Return the form with each error at its field."""
        errors: dict[str, str] = {}
        for one in error.errors or ():
            where = [str(part) for part in one["loc"]]
            place = where[0] if where and where[0] in (*_TEXTS, *_JSON, "jitter") else ""
            told = f"{'.'.join(where[1:])}: {one['msg']}" if len(where) > 1 else one["msg"]
            errors.setdefault(place, told)
        return replace(self, errors=errors or {"": error.detail})


def new_form(kinds: Sequence[str], *, kind: str = "") -> ScheduleForm:
    values = {"time_zone": "UTC", "args": "{}", "options": "{}", "catch_up": "last", "overlap": "allow"}
    return ScheduleForm("", is_new=True, values=values | {"kind": kind if kind in kinds else ""})


def form_of(view: View) -> ScheduleForm:
    """Return the form for a schedule as it is now."""
    cron, zone, kind = when_of(view)
    row: Mapping[str, Any] = {} if view.row is None else dict(view.row)
    values = {
        "kind": kind,
        "cron": cron,
        "time_zone": zone,
        "args": _pretty(row.get("args")),
        "options": _pretty(row.get("options")),
        "catch_up": row.get("catch_up", "last"),
        "overlap": row.get("overlap", "allow"),
        "jitter": f"{row['jitter_s']:g}" if row.get("jitter_s") else "",
        "start": _moment_text(row.get("start_at")),
        "end": _moment_text(row.get("end_at")),
    }
    return ScheduleForm(view.name, is_new=False, values=values)


def posted_form(fields: Mapping[str, str]) -> ScheduleForm:
    values = {name: fields.get(name, "").strip() for name in (*_TEXTS, *_JSON, "jitter")}
    return ScheduleForm(fields.get("name", "").strip(), is_new=fields.get("is_new") == "yes", values=values)


def kept_args(form: ScheduleForm, view: View | None, vault: Vault, *, sees_args: bool) -> Mapping[str, Any] | None:
    """Return the args that a change leaves as they are, with secrets in clear; None if the form changes them.

    Secrets survive only a change of the times: beside them, changed args could send them elsewhere.
    """
    if view is None or view.plan is None or view.row is None or view.plan.kind != form.text("kind"):
        return None
    if sees_args and form.args() != from_json(view.row["args"] or "{}"):
        return None
    stored = view.plan.opened_args(vault)
    args = None if stored is None else from_json(stored)
    return args if isinstance(args, Mapping) else None


@dataclass(frozen=True, slots=True)
class When:
    """What an expression means: in words and by its next times, as `in_zone` writes them, or why it cannot be used."""

    words: str | None = None
    next: Sequence[tuple[datetime, str]] = ()
    error: str | None = None


def when(cron: str, time_zone: str, now: datetime) -> When:
    if not cron.strip():
        return When()
    try:
        read = expression(cron.strip(), time_zone.strip() or "UTC")
    except CronInvalid as error:
        return When(error=str(error))
    return When(in_words(cron), in_zone(list(islice(read.after(now), _SHOWN)), read.zone.key))


@cache
def zones() -> Sequence[str]:
    """Return the names of time zones, as people write them."""
    return [*sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/")), "UTC"]


def _read_json(name: str, text: str) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise _wrong(name, f"It is not JSON: {error}") from None


def _wrong(name: str, told: str) -> ArgsInvalid:
    return ArgsInvalid(f"{name}: {told}.", errors=[{"loc": [name], "msg": told, "type": "json_invalid"}])


def _pretty(text: str | None) -> str:
    return json.dumps(from_json(text or "{}"), indent=2, ensure_ascii=False)


def _moment_text(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat().replace("+00:00", "Z")
