"""An app whose requests each add one background task: `python -m benchmarks.task_app own|jobs PORT`.

`own` is FastAPI's own class; with `jobs`, the tasks are jobs of the API at `surroundings.port()`.
"""

import os
import sys

import fastapi
import uvicorn
from fastapi import FastAPI
from postlude.fastapi import BackgroundTasks, Postlude

from benchmarks import surroundings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def note(number: int, name: str) -> None: ...


async def add_own(number: int, tasks: fastapi.BackgroundTasks) -> None:
    tasks.add_task(note, number, name="Ann")


async def add_job(number: int, tasks: BackgroundTasks) -> None:
    tasks.add_task(note, number, name="Ann")


def make_app(sort: str) -> FastAPI:
    app = FastAPI(title="bench")
    if sort == "jobs":
        os.environ["POSTLUDE_URL"] = f"http://127.0.0.1:{surroundings.port()}"
        Postlude(app, secret=SECRET)
    app.post("/tasks/{number}")(add_job if sort == "jobs" else add_own)
    return app


def main(sort: str, port: str) -> None:
    uvicorn.run(make_app(sort), host="127.0.0.1", port=int(port), access_log=False, log_config=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
