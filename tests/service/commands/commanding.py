"""Runs commands against the API under test."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner
from pydantic import BaseModel

from service.cli import postlude

POSTLUDE = Path(sys.executable).with_name("postlude")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("POSTLUDE_")}


class Answer(BaseModel):
    code: int
    out: str
    err: str

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


async def run(url: httpx.URL | str, *arguments: str, group: str = "jobs", **env: str) -> Answer:
    """Run `postlude jobs`, or another group, beside this loop: a process of its own takes ten times as long."""
    unset = dict.fromkeys(name for name in os.environ if name.startswith("POSTLUDE_"))
    variables = {**unset, "POSTLUDE_URL": str(url), **env}
    ran = await asyncio.to_thread(CliRunner().invoke, postlude, [group, *arguments], env=variables)
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return Answer(code=ran.exit_code, out=ran.stdout, err=ran.stderr)


async def enqueue(api: httpx.AsyncClient, subject: str = "s", **options: Any) -> str:
    body = {"kind": "update_stats", "args": {"subject": subject, "event": "e"}, "delay": 3600} | options
    answer = await api.post("/v1/jobs", json=body)
    return str(answer.raise_for_status().json()["id"])
