"""The command that enqueues a job like this one says all of it to a shell, whatever is in it."""

import json
import shlex
from typing import Any

from jobs.kit.masking import MASK
from service.dashboard.job.curl import command

JOB: dict[str, Any] = {
    "kind": "send_webhook",
    "args": json.dumps({"text": 'it\'s $HOME `id` "x"\n', "secret": MASK}),
    "queue": "webhooks",
    "priority": 0,
    "lane": None,
    "tags": '["a"]',
    "metadata": None,
    "timeout_s": 10.0,
    "max_attempts": 5,
}


def test_a_shell_reads_back_what_the_job_has() -> None:
    words = shlex.split(command("http://127.0.0.1:8000", JOB, with_key=True))
    assert words[:2] == ["curl", "http://127.0.0.1:8000/v1/jobs"]
    assert "authorization: Bearer $POSTLUDE_API_KEY" in words
    body = json.loads(words[-1])
    assert body == {
        "kind": "send_webhook",
        "args": {"text": 'it\'s $HOME `id` "x"\n', "secret": "(the secret)"},
        "queue": "webhooks",
        "tags": ["a"],
        "timeout": 10.0,
        "max_attempts": 5,
    }
    assert "authorization" not in command("http://x", JOB, with_key=False)
