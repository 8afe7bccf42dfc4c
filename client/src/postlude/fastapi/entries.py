"""Entries of the audit log that a request has written: they are enqueued together with its tasks."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from postlude.calling.arguments import MOST_BYTES
from postlude.errors import NotJson
from postlude.fastapi.handle import Enqueued
from postlude.mode import Added

logger = logging.getLogger("postlude.audit")

KIND = "write_audit"
LONGEST_NAME = 255
# An escape for NUL: an odd number of backslashes before u0000.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class AuditEntry(Enqueued):
    """What is recorded about an action. An entry that is kept `always` is written even if its request raises."""

    def __init__(self, said: Mapping[str, Any], *, always: bool) -> None:
        """Raises `NotJson`, and `ValueError` for a name that the log does not take."""
        super().__init__(lambda: None)
        for name in ("action", "actor", "target"):
            _check_name(name, said.get(name))
        self.said = {name: as_json(name, value) for name, value in said.items() if value is not None}
        self.always = always

    @property
    def added(self) -> Added:
        return self

    @property
    def function(self) -> str:
        return KIND

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.said)

    async def run(self) -> None:
        """Nothing is left to be done in the app: the log is the service's."""

    async def __call__(self) -> None:
        self.log()

    def log(self) -> None:
        """Say it to this process's own log, where there is no service."""
        logger.info("%s", json.dumps(self.said))


def _check_name(name: str, value: object) -> None:
    if value is None and name == "target":
        return
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise ValueError(f"{name} must be text of 1 to {LONGEST_NAME} characters")


def as_json(name: str, value: Any) -> Any:
    """Return a value as JSON holds it now: changed later, it stays as it is. Raises `NotJson`."""
    try:
        text = json.dumps(to_jsonable_python(value), ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise NotJson(f"JSON cannot hold {name}: {error}.") from error
    if _NUL.search(text):
        raise NotJson(f"{name} holds the character NUL, which cannot be stored.")
    if len(text) > MOST_BYTES:
        raise NotJson(f"{name} is {len(text):,} characters of JSON; {MOST_BYTES:,} travel at most.")
    return json.loads(text)
