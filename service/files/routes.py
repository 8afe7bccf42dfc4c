"""`/v1/files`: uploads, downloads, and the list of files."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter
from sqlalchemy import Row

from service import agreed_time
from service.access.errors import ArgsHidden
from service.access.principal import Principal, Scope
from service.files.deleting import delete_by
from service.files.errors import FileNotFound
from service.files.file_out import FileList, FileOut
from service.files.opening import library_at
from service.files.reads import find_row, list_files
from service.files.serving import answer_with
from service.files.telling import told_errors
from service.files.uploading import upload
from service.ledger.deadline import in_time
from service.web import cursor
from service.web.cursor import NEXT_CURSOR
from service.web.deps import OperatorDep, PrincipalDep, ResourcesDep, Text
from service.web.etags import UNCHANGED
from service.web.file_check import owner_for
from service.web.guards import bearer, guarded_by, guards, identify
from service.web.idempotency import KEY_HEADER
from service.web.problems import responses

router = APIRouter(prefix="/v1/files", tags=["files"])

_BINARY = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "description": "The file as it is, named by `X-File-Name` or `Content-Disposition`; or a form with one file.",
    "content": {
        "application/octet-stream": {"schema": _BINARY},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": _BINARY, "expires_in": {"type": "number", "exclusiveMinimum": 0}},
            }
        },
    },
}
_NAME_HEADER = {"name": "X-File-Name", "in": "header", "schema": {"type": "string"}, "description": "The file's name."}
_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "Where the file can be downloaded"}}
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The content", "content": {"*/*": {"schema": _BINARY}}},
    206: {"description": "The range that was asked for", "content": {"*/*": {"schema": _BINARY}}},
    **UNCHANGED,
}
_place: TypeAdapter[cursor.Text] = TypeAdapter(cursor.Text)


@router.post(
    "",
    dependencies=guards(Scope.ENQUEUE, narrowed=True),
    status_code=201,
    response_model=FileOut,
    responses={
        201: {"model": FileOut, "description": "The file is stored", "headers": _LOCATION},
        **responses(400, 401, 403, 408, 409, 413, 415, 421, 422, 503, 507),
    },
    openapi_extra={"requestBody": _BODY, "parameters": [_NAME_HEADER, KEY_HEADER]},
)
async def upload_file(
    request: Request,
    expires_in: Annotated[
        float | None, Query(gt=0, le=3650 * 86_400, description="Seconds. Default: POSTLUDE_RETENTION_FILES_DAYS")
    ] = None,
) -> Response:
    """Store a file, streamed. Its first bytes decide its type; the name that a caller gives is only for people."""
    return await upload(request, expires_in)


@router.get(
    "",
    dependencies=guards(Scope.READ, narrowed=True),
    responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)},
)
async def list_stored_files(
    resources: ResourcesDep,
    principal: PrincipalDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    page: Annotated[str | None, Query(alias="cursor", description=NEXT_CURSOR)] = None,
) -> FileList:
    """List files, newest first. A key that is limited to kinds or queues sees only its own."""
    before = cursor.decode(_place, page) if page else None
    owner = owner_for(principal)

    async def read() -> Sequence[Row[Any]]:
        async with resources.ledger.read() as connection:
            return await list_files(connection, agreed_time.now(), owner=owner, before=before, limit=limit + 1)

    rows = await in_time(read())
    last = rows[limit - 1].id if len(rows) > limit else None
    return FileList(
        files=[FileOut.of(row) for row in rows[:limit]], next_cursor=None if last is None else cursor.encode(last)
    )


async def authorise_reader(request: Request, _key: Annotated[object, bearer]) -> Principal:
    """Let a caller through who may read, or who may enqueue and needs their own uploads again; see `owner_for`."""
    principal = await identify(request)
    if not principal.may(Scope.ENQUEUE):
        principal.check(Scope.READ)
    return principal


@router.get(
    "/{file_id}",
    dependencies=guarded_by(authorise_reader),
    response_class=Response,
    responses={**_CONTENT, **responses(401, 403, 404, 412, 416, 421, 422, 503)},
)
async def download_file(file_id: Text, request: Request, principal: PrincipalDep) -> Response:
    """Download a file, or one range of it. A request for several ranges gets the whole file.

    A key that may only enqueue finds only its own uploads.
    """
    if not principal.sees_args:
        raise ArgsHidden("Args are hidden from you, and so are the contents of files.")
    library = library_at(request)
    with told_errors():
        file = await in_time(library.find(file_id, owner=owner_for(principal)))
        return await answer_with(request, library, file)


@router.get(
    "/{file_id}/info",
    dependencies=guards(Scope.READ, narrowed=True),
    responses={**UNCHANGED, **responses(401, 403, 404, 421, 422, 503)},
)
async def get_file_info(file_id: Text, resources: ResourcesDep, principal: PrincipalDep) -> FileOut:
    """Return what is known about a file."""

    async def read() -> Row[Any] | None:
        async with resources.ledger.read() as connection:
            return await find_row(connection, file_id, agreed_time.now())

    row, owner = await in_time(read()), owner_for(principal)
    if row is None or (owner is not None and row.owner != owner):
        raise _not_found(file_id)
    return FileOut.of(row)


@router.delete(
    "/{file_id}",
    dependencies=guards(Scope.OPERATE, narrowed=True),
    status_code=204,
    response_class=Response,
    responses=responses(401, 403, 404, 409, 421, 422, 503, 507),
)
async def delete_file(file_id: Text, request: Request, operator: OperatorDep, principal: PrincipalDep) -> None:
    """Delete a file, unless a job that may still run names it in its args."""
    with told_errors():
        await in_time(delete_by(operator, library_at(request), file_id, owner=owner_for(principal)), writes=True)


def _not_found(file_id: str) -> FileNotFound:
    return FileNotFound(f"There is no file {file_id!r}: it expired, was deleted, or never existed.")
