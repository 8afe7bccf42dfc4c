from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request, Response

from audit.dependencies import Audit, admin, count, current_actor, session, unit_of_work
from audit.log import Actor, AuditLog


def create_app() -> FastAPI:
    app = FastAPI(title="Records")
    app.include_router(records)
    app.include_router(admins)

    @app.middleware("http")
    async def name_server(request: Request, call_next):  # type: ignore[no-untyped-def]
        response: Response = await call_next(request)
        response.headers["x-server"] = "records"
        return response

    return app


records = APIRouter(prefix="/records", dependencies=[Depends(count)])
admins = APIRouter(prefix="/admin", dependencies=[Depends(admin)])


@records.get("/{number}")
def read(number: int, audit: Annotated[Audit, Depends()]) -> dict[str, int]:
    audit.note("read", number=number)
    return {"number": number}


@records.put("/{number}")
async def write(
    number: int,
    audit: Annotated[Audit, Depends()],
    changes: Annotated[list[str], Depends(unit_of_work)],
    background_tasks: BackgroundTasks,
) -> dict[str, int]:
    changes.append(f"record {number}")
    audit.note("write", changes=changes)
    background_tasks.add_task(AuditLog.write, audit.actor, "end")
    return {"number": number}


@records.delete("/{number}")
async def drop(
    number: int, audit: Annotated[Audit, Depends()], kept: Annotated[dict[str, str], Depends(session)]
) -> None:
    audit.note("drop", number=number)
    if number == 13:
        raise ValueError("nobody drops this one")
    kept["dropped"] = str(number)


@admins.get("")
async def administrate(actor: Annotated[Actor, Depends(current_actor)], background_tasks: BackgroundTasks) -> str:
    background_tasks.add_task(AuditLog.write, actor, "administrate")
    return actor.name
