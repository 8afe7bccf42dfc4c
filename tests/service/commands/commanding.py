"""`postlude jobs` and `postlude lanes` as processes of their own."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel

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
    """Run `postlude jobs`, or another group; what it prints must never be a traceback."""
    process = await asyncio.create_subprocess_exec(
        str(POSTLUDE), group, *arguments,
        env=CLEAN | {"POSTLUDE_URL": str(url)} | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return Answer(code=process.returncode or 0, out=out.decode(), err=err.decode())


async def enqueue(api: httpx.AsyncClient, subject: str = "s", **options: Any) -> str:
    body = {"kind": "update_stats", "args": {"subject": subject, "event": "e"}, "delay": 3600} | options
    answer = await api.post("/v1/jobs", json=body)
    return str(answer.raise_for_status().json()["id"])
