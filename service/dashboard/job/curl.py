"""The command that enqueues a job like this one."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from jobs.kit.masking import MASK
from service.dashboard.shell import Page

_ANYBODY = "anybody"
_FILL_IN = "(the secret)"


def curl_of(page: Page, job: Mapping[Any, Any]) -> str:
    """Return a shell command, with secrets to be filled in."""
    return command(str(page.request.base_url).rstrip("/"), job, with_key=page.principal.id != _ANYBODY)


def command(base: str, job: Mapping[Any, Any], *, with_key: bool) -> str:
    body: dict[str, Any] = {"kind": job["kind"], "args": json.loads(job["args"]), "queue": job["queue"]}
    options = {
        "priority": job["priority"],
        "lane": job["lane"],
        "tags": json.loads(job["tags"]),
        "metadata": json.loads(job["metadata"] or "{}"),
        "timeout": job["timeout_s"],
    }
    body |= {name: value for name, value in options.items() if value}
    body["max_attempts"] = job["max_attempts"]
    key = ['-H "authorization: Bearer $POSTLUDE_API_KEY"'] if with_key else []
    sent = shlex.quote(json.dumps(body, ensure_ascii=False).replace(MASK, _FILL_IN))
    parts = [f"curl {shlex.quote(f'{base}/v1/jobs')}", "-H 'content-type: application/json'", *key, f"-d {sent}"]
    return " \\\n  ".join(parts)
