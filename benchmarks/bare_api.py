"""A FastAPI endpoint that does nothing, with a model like that of `POST /v1/jobs`: `python -m benchmarks.bare_api`."""

from datetime import datetime
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from benchmarks import surroundings
from benchmarks.peers.postlude_kinds import StampArgs

app = FastAPI()


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: str
    args: StampArgs
    run_at: datetime | None = None
    delay: float | None = Field(default=None, ge=0)
    queue: str | None = None
    priority: int = Field(default=0, ge=-10, le=10)
    max_attempts: int | None = Field(default=None, ge=1)
    timeout: float | None = Field(default=None, gt=0)
    expires_in: float | None = Field(default=None, gt=0)
    unique_key: str | None = None
    tags: list[str] = []


@app.post("/v1/jobs", status_code=202)
async def enqueue(_wanted: Wanted) -> dict[str, Any]:
    return {"id": "0"}


@app.get("/readyz")
async def ready() -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    # With the options of `postlude api`.
    uvicorn.run(app, host="127.0.0.1", port=surroundings.port(), lifespan="on", access_log=False, log_config=None)
