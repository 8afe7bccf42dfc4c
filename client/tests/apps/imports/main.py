from functools import lru_cache
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel
from starlette.background import BackgroundTask, BackgroundTasks

from imports.work import Status, keep, read_csv, remove, statuses

app = FastAPI(title="Imports")


class Settings(BaseModel):
    folder: Path = Path("/var/lib/imports")
    delimiter: str = ","


@lru_cache
def get_settings() -> Settings:
    return Settings()


Configured = Annotated[Settings, Depends(get_settings)]


@app.put("/uploads", status_code=202)
async def upload(request: Request, settings: Configured, tasks: BackgroundTasks) -> dict[str, UUID]:
    upload_id = uuid4()
    path = settings.folder / f"{upload_id}.csv"
    path.write_bytes(await request.body())
    statuses[upload_id] = Status.WAITING
    tasks.add_task(read_csv, upload_id, path, delimiter=settings.delimiter)
    tasks.add_task(remove, path)
    return {"id": upload_id}


@app.get("/uploads/{upload_id}")
def status(upload_id: UUID) -> dict[str, Status]:
    if upload_id not in statuses:
        raise HTTPException(404)
    return {"status": statuses[upload_id]}


@app.put("/copies/{name}")
async def copy(name: str, request: Request, settings: Configured) -> JSONResponse:
    """Hang tasks of its own making on a response of its own making."""
    body = await request.body()
    tasks = BackgroundTasks()
    tasks.add_task(keep, body, settings.folder / name)
    tasks.add_task(keep, content=body, to=settings.folder / f"{name}.backup")
    return JSONResponse({"bytes": len(body)}, status_code=202, background=tasks)


@app.get("/copies/{name}")
def fetch_once(name: str, settings: Configured) -> FileResponse:
    path = settings.folder / name
    return FileResponse(path, background=BackgroundTask(remove, path))


@app.get("/exports/{lines}")
def export(lines: int, settings: Configured, tasks: BackgroundTasks) -> StreamingResponse:
    tasks.add_task(keep, str(lines).encode(), settings.folder / "exported")
    return StreamingResponse((f"{line}\n" for line in range(lines)), media_type="text/plain")
