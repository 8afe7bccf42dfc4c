"""One app that uses background tasks in all places, made with FastAPI's own class or with ours."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import fastapi
from client.tests.fastapi.functions import send, write
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

OWN = fastapi.BackgroundTasks


class Mistake(Exception): ...


def make_app(BackgroundTasks: Any) -> FastAPI:  # noqa: N803, C901 - a type
    app = FastAPI()
    router = APIRouter(prefix="/router")
    mounted = FastAPI()

    def in_dependency(tasks: BackgroundTasks) -> None:
        tasks.add_task(send, "dependency")

    async def in_sub_dependency(tasks: BackgroundTasks, _one: Annotated[None, Depends(in_dependency)]) -> None:
        tasks.add_task(send, "sub-dependency")

    class Audit:
        def __init__(self, tasks: BackgroundTasks, request: Request) -> None:
            self.tasks, self.path = tasks, request.url.path

        def note(self) -> None:
            self.tasks.add_task(write, self.path)

    class Callable:
        async def __call__(self, tasks: BackgroundTasks) -> None:
            tasks.add_task(send, "callable")

    async def yields(tasks: BackgroundTasks) -> AsyncIterator[Any]:
        tasks.add_task(send, "before")
        yield tasks
        tasks.add_task(send, "after")

    def yields_in_thread(tasks: BackgroundTasks) -> Iterator[None]:
        try:
            yield
        finally:
            tasks.add_task(send, "finally")

    def refuses() -> None:
        raise HTTPException(403)

    @app.post("/async")
    async def in_async(tasks: BackgroundTasks) -> dict[str, str]:
        tasks.add_task(send, "async", subject="one")
        tasks.add_task(write, "two")
        return {"said": "ok"}

    @app.post("/sync")
    def in_sync(tasks: BackgroundTasks) -> None:
        tasks.add_task(send, "sync")

    @app.post("/none")
    def none(tasks: BackgroundTasks) -> None: ...

    @app.post("/default")
    def default(tasks: BackgroundTasks = None) -> None:
        tasks.add_task(send, "default")

    @app.post("/annotated")
    def annotated(tasks: Annotated[BackgroundTasks, "a note"]) -> None:
        tasks.add_task(send, "annotated")

    @app.post("/two")
    def two(one: BackgroundTasks, other: BackgroundTasks) -> dict[str, bool]:
        one.add_task(send, "one")
        other.add_task(send, "other")
        return {"same": one is other}

    @app.post("/dependencies", dependencies=[Depends(in_sub_dependency), Depends(Callable())])
    def dependencies(tasks: BackgroundTasks) -> None:
        tasks.add_task(send, "endpoint")

    @app.post("/class")
    def in_class(audit: Annotated[Audit, Depends()]) -> None:
        audit.note()

    @app.post("/yield-before")
    async def yield_before(tasks: Annotated[Any, Depends(yields)], *, fails: bool = False) -> None:
        tasks.add_task(send, "within")
        if fails:
            raise HTTPException(400)

    @app.post("/yield-finally", dependencies=[Depends(yields_in_thread)])
    async def yield_finally(*, fails: bool = False) -> None:
        if fails:
            raise HTTPException(400)

    @app.post("/raises")
    def raises(tasks: BackgroundTasks, status: int = 400) -> None:
        tasks.add_task(send, "raises")
        raise HTTPException(status)

    @app.post("/mistake")
    def mistake(tasks: BackgroundTasks) -> None:
        tasks.add_task(send, "mistake")
        raise Mistake

    @app.exception_handler(Mistake)
    async def on_mistake(_request: Request, _error: Mistake) -> JSONResponse:
        return JSONResponse({}, 418)

    @app.post("/crashes")
    def crashes(tasks: BackgroundTasks) -> None:
        tasks.add_task(send, "crashes")
        raise RuntimeError

    @app.post("/status")
    def status(tasks: BackgroundTasks) -> JSONResponse:
        tasks.add_task(send, "status")
        return JSONResponse({}, 409)

    @app.post("/refused", dependencies=[Depends(in_dependency), Depends(refuses)])
    def refused() -> None: ...

    @app.post("/background")
    def background(tasks: BackgroundTasks) -> JSONResponse:
        tasks.add_task(send, "background")
        return JSONResponse({}, background=tasks)

    @app.post("/by-hand")
    def by_hand() -> JSONResponse:
        tasks = BackgroundTasks()
        tasks.add_task(send, "by hand")
        return JSONResponse({}, background=tasks)

    @app.post("/stream")
    def stream(tasks: BackgroundTasks) -> StreamingResponse:
        tasks.add_task(send, "before the stream")

        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            tasks.add_task(send, "in the stream")
            yield b"b"

        return StreamingResponse(body())

    @app.post("/file")
    def file(tasks: BackgroundTasks) -> FileResponse:
        tasks.add_task(send, "file")
        return FileResponse(__file__)

    @app.head("/head")
    def head(tasks: BackgroundTasks) -> None:
        tasks.add_task(send, "head")

    @app.post("/no-content", status_code=204)
    def no_content(tasks: BackgroundTasks) -> None:
        tasks.add_task(send, "no content")

    @router.post("/x")
    def in_router(tasks: BackgroundTasks) -> None:
        tasks.add_task(send, "router")

    @mounted.post("/x")
    def in_mounted(tasks: BackgroundTasks) -> None:
        tasks.add_task(send, "mounted")

    @app.websocket("/socket")
    async def socket(socket: WebSocket, tasks: BackgroundTasks) -> None:
        await socket.accept()
        tasks.add_task(send, "socket")
        await socket.send_text("added")
        await socket.close()

    app.include_router(router)
    app.mount("/mounted", mounted)
    return app


def add_middlewares(app: FastAPI) -> None:
    class Header(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Any:
            response = await call_next(request)
            response.headers["x-seen"] = "yes"
            return response

    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    app.add_middleware(GZipMiddleware, minimum_size=1)
    app.add_middleware(Header)
