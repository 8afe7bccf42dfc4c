"""The page of files: which there are, what uses them, and where they came from."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import HTMLResponse, Response

from service import agreed_time
from service.access.errors import ArgsHidden
from service.access.principal import Scope
from service.files.deleting import delete_by
from service.files.opening import library_at
from service.files.reads import list_files
from service.files.serving import answer_with
from service.files.telling import told_errors
from service.files.uploading import owner_of, receive
from service.ledger.deadline import in_time
from service.web.cursor import Text
from service.web.page import PageDep
from service.web.page_route import page_router

router = page_router()
senders = page_router(Scope.ENQUEUE)
operators = page_router(Scope.OPERATE)

PAGE = 50


@router.get("/files")
async def show_files(page: PageDep, before: Annotated[Text | None, Query(max_length=36)] = None) -> HTMLResponse:
    """Show files, newest first."""
    async with page.resources.ledger.read() as connection:
        rows = await list_files(connection, agreed_time.now(), owner=None, before=before, limit=PAGE + 1)
    settings = page.resources.settings
    return await page.render(
        "files/list.html",
        title="Files",
        section="files",
        files=rows[:PAGE],
        older=rows[PAGE - 1].id if len(rows) > PAGE else None,
        before=before,
        place=settings.files_url or str(settings.files_dir),
        may_send=page.principal.may(Scope.ENQUEUE),
        may_delete=page.principal.may(Scope.OPERATE),
        may_read=page.principal.sees_args,
    )


@router.get("/files/{file_id}/content")
async def download(page: PageDep, file_id: Text) -> Response:
    """Download a file."""
    if not page.principal.sees_args:
        raise ArgsHidden("Args are hidden from you, and so are the contents of files.")
    library = library_at(page.request)
    with told_errors():
        return await answer_with(page.request, library, await in_time(library.find(file_id)))


@senders.post("/files/upload")
async def send(page: PageDep) -> Response:
    """Store a file from a form."""
    with told_errors():
        file = await receive(page.request)
        async with page.operator.action("upload", "file", file.id) as entry:
            entry.after = {"name": file.name, "size": file.size, "sha256": file.sha256}
            recording = library_at(page.request).record_upload(file, owner=owner_of(page.request))
            await in_time(recording, writes=True)
    return page.toast(f"{file.name} is stored.", detail=f"Its id is {file.id}.", back="/files")


@operators.post("/files/{file_id}/delete")
async def delete(page: PageDep, file_id: Text) -> Response:
    """Delete a file."""
    with told_errors():
        name = await in_time(delete_by(page.operator, library_at(page.request), file_id), writes=True)
    return page.toast(f"{name} is deleted.", back="/files")


router.include_router(senders)
router.include_router(operators)
