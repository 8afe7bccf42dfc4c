from __future__ import annotations

import logging
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.background import BackgroundTasks
from fastapi.responses import JSONResponse, PlainTextResponse

from articles import cache
from articles.cache import Reader, count, invalidate

app = FastAPI()
mounted = FastAPI()
app.mount("/v2", mounted)
logger = logging.getLogger(__name__)


class Publisher:
    """Is made for each request."""

    def __init__(self, background_tasks: BackgroundTasks) -> None:
        self._tasks = background_tasks

    def publish(self, slug: str) -> None:
        self._tasks.add_task(invalidate, "/", f"/articles/{slug}")


@app.get("/articles/{slug}")
async def read(slug: str, tasks: BackgroundTasks, response: Response) -> dict[str, str]:
    tasks.add_task(count, slug, reader=Reader("ann", 2024))
    response.headers["x-tasks"] = str(len(tasks.tasks))
    return {"slug": slug}


@app.put("/articles/{slug}")
def write(slug: str, publisher: Annotated[Publisher, Depends()], tasks: BackgroundTasks) -> dict[str, str]:
    publisher.publish(slug)
    tasks.add_task(cache.forget, None, after=timedelta(minutes=5), dry=True)
    return {"slug": slug}


@app.delete("/articles/{slug}")
async def drop(slug: str, tasks: BackgroundTasks) -> None:
    tasks.add_task(invalidate, f"/articles/{slug}")
    raise HTTPException(404)


@app.post("/chains")
async def chain(tasks: BackgroundTasks, fails: bool = False) -> PlainTextResponse:
    """Return an error, which keeps the tasks."""
    for step in ("one", "two", "three"):
        tasks.add_task(cache.note, step)
    if fails:
        tasks.add_task(cache.fail, "as asked")
    return PlainTextResponse("busy", status_code=503, headers={"retry-after": "1"})


@app.post("/own")
async def own(tasks: BackgroundTasks) -> JSONResponse:
    """Hang tasks of its own making on the response, beside those of the request, which FastAPI's class forgets."""
    tasks.add_task(cache.note, "beside")
    mine = BackgroundTasks()
    mine.add_task(cache.note, "own")
    return JSONResponse({}, background=mine)


@mounted.get("/articles/{slug}")
def read_again(slug: str, tasks: BackgroundTasks) -> str:
    tasks.add_task(count, slug, 2)
    return slug


@app.exception_handler(KeyError)
async def on_missing(_request: Any, error: KeyError) -> JSONResponse:
    tasks = BackgroundTasks()
    tasks.add_task(cache.note, f"missing {error.args[0]}")
    return JSONResponse({}, status_code=410, background=tasks)


@app.get("/missing")
async def missing(tasks: BackgroundTasks) -> None:
    tasks.add_task(cache.note, "never")
    raise KeyError("page")
