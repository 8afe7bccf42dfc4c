"""What the forms on a job's page ask for: a change, or other args. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from jobs import Kind
from jobs.kit.masking import MASK
from service.dashboard.change_form import changes_in, shown
from service.errors import ArgsInvalid, BodyMalformed
from service.lifecycle.change import Wanted
from service.requests.change_requests import ChangeOptions
from service.requests.parsing import parse


def args_text(args: Any) -> str:
    """Return args as text to edit."""
    return json.dumps(args, indent=2, ensure_ascii=False)


def change_wanted(
    job: Mapping[Any, Any], form: Mapping[str, str], adapter: TypeAdapter[ChangeOptions], kind: Kind[Any, Any] | None
) -> Wanted:
    """Return the change that a form asks for. Raises `ArgsInvalid`, `BodyMalformed`."""
    changes = changes_in(form, shown(job))
    if "args" in form and _differ(form["args"], job["args"]):
        changes["args"] = read_args(form["args"])
    if not changes:
        raise ArgsInvalid("Nothing was changed: the job already has these values.")
    return parse(adapter, to_json(changes), {}, kind=kind).wanted()


def args_wanted(form: Mapping[str, str], adapter: TypeAdapter[ChangeOptions], kind: Kind[Any, Any] | None) -> Wanted:
    """Return the args in a form, as the job's kind reads them. Raises `ArgsInvalid`, `BodyMalformed`."""
    return parse(adapter, to_json({"args": read_args(form.get("args", ""))}), {}, kind=kind).wanted()


def read_args(text: str) -> Any:
    """Read args that somebody edited. Secrets are never shown, so they must be typed again: a mask keeps nothing."""
    try:
        args = from_json(text)
    except ValueError as error:
        raise BodyMalformed(f"Nothing was changed. The args are not valid JSON: {error}.") from error
    if path := _masked(args, ()):
        raise ArgsInvalid(
            f"Nothing was changed. Type {'.'.join(path)} again: a secret is never shown, so it cannot be kept here."
        )
    return args


def _differ(text: str, stored: str) -> bool:
    try:
        return bool(from_json(text) != from_json(stored))
    except ValueError:
        return True


def _masked(value: Any, path: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the path to the first mask in a value."""
    if value == MASK:
        return path or ("args",)
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for name, part in parts if (found := _masked(part, (*path, str(name))))), None)
