"""An upload, from its first byte to its row."""

from fastapi import Request, Response

from jobs.kit.files import StoredFile
from service import agreed_time
from service.access.principal import ANYBODY
from service.files.errors import UploadRefused
from service.files.file_out import FileOut
from service.files.intake import Intake
from service.files.limits import UploadLimits
from service.files.opening import library_at
from service.files.receiving import Upload
from service.files.telling import told_errors
from service.ledger.deadline import in_time
from service.web.forms import was_read
from service.web.guards import principal_of
from service.web.headers import header_of
from service.web.idempotency import Idempotency
from service.web.state import state_of


async def upload(request: Request, expires_in: float | None = None) -> Response:
    """Store the file that a request sends. If that fails, nothing of it is left."""
    state = state_of(request)
    idempotency = Idempotency.of(request, b"", state.keys_under_way)
    with idempotency, told_errors():
        file = await receive(request, expires_in)
        return await _record(request, idempotency, file)


async def receive(request: Request, expires_in: float | None = None) -> StoredFile:
    """Keep the bytes of an upload."""
    resources = state_of(request).resources
    limits = await UploadLimits.of(resources.settings, resources.ledger)
    limits.check_length(header_of(request, b"content-length"))
    if was_read(request):  # for its token: to receive more of it would wait for nothing
        raise UploadRefused("The body is a form without a file. Send the file as multipart/form-data.")
    sent = Upload(request, expires_in, limits.check_body)
    await sent.begin()
    intake = Intake(sent.name, check_size=limits.check_size, check_type=limits.check_type)
    return await library_at(request).keep(intake, sent.chunks(), sent.name, lambda: sent.expires_in)


def owner_of(request: Request) -> str | None:
    """Return who uploads, if callers have to say who they are."""
    principal = principal_of(request)
    return None if principal is ANYBODY else principal.id


async def _record(request: Request, idempotency: Idempotency, file: StoredFile) -> Response:
    answer = FileOut.of_new(file, owner_of(request)).model_dump_json().encode()
    idempotency.body = f"{file.name}\n{file.sha256}".encode()
    key = idempotency.row(answer, agreed_time.now(), state_of(request).resources.settings)
    recording = library_at(request).record_upload(file, owner=owner_of(request), key=key)
    held = await in_time(recording, writes=True)
    headers = {}
    if held is not None:
        idempotency.check_same(held)
        assert held.answer is not None
        answer, headers = held.answer.encode(), {"Idempotent-Replayed": "true"}
    file_id = file.id if held is None else held.job_id
    headers["Location"] = f"{request.scope.get('root_path', '')}/v1/files/{file_id}"
    return Response(answer, 201, headers, "application/json")
