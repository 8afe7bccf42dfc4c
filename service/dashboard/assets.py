"""The pages' stylesheets and scripts, under an address that changes with their content."""

import hashlib
import mimetypes
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).with_name("static")
_FILES = {str(path.relative_to(FOLDER)): path for path in sorted(FOLDER.rglob("*")) if path.is_file()}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def _digest() -> str:
    """Return one digest for all files: modules import one another by relative paths, so they share an address."""
    digest = hashlib.sha256()
    for name, path in _FILES.items():
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


DIGEST = _digest()


@router.get("/assets/{digest}/{name:path}")
async def asset(digest: str, name: str) -> Response:
    """Serve a file. Under its own digest it never changes; a page of an older version gets the present file."""
    path = _FILES.get(name)
    if path is None:
        return Response(status_code=404)
    keep = "public, max-age=31536000, immutable" if digest == DIGEST else "no-cache"
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    return FileResponse(
        path, media_type=media_type, headers={"Cache-Control": keep, "X-Content-Type-Options": "nosniff"}
    )
