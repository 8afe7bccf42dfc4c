"""Uploads among the arguments of a call: each is stored at the service when its task is sent, and its id travels.

A tag describes an upload. Until it is stored, and again where the function runs, `here` is the name under which
this process has the upload itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

from postlude.ids import new_id

TAG = "upload"
_CLASS = ("starlette.datastructures", "UploadFile")
_SPOOLED_BYTES = 1024 * 1024

_here: WeakValueDictionary[str, Any] = WeakValueDictionary()


def is_upload(value: Any) -> bool:
    """Whether a value is Starlette's `UploadFile`, or FastAPI's; the client imports neither."""
    return any((base.__module__, base.__qualname__) == _CLASS for base in type(value).__mro__)


def describe(upload: Any) -> dict[str, Any]:
    """Return a tag's content for an upload that is here."""
    name = None if upload.filename is None else _storable(upload.filename)
    return {"here": keep(upload), "name": name, "size": upload.size, "headers": list(_headers_of(upload))}


def keep(upload: Any) -> str:
    """Make an upload findable for as long as somebody holds it; return its name here."""
    name = new_id()
    _here[name] = upload
    return name


def find(described: dict[str, Any]) -> Any:
    """Return the upload itself or, if it is not here, an empty one of its name."""
    found = _here.get(described.get("here", ""))
    return made(described, b"") if found is None else found


def made(described: dict[str, Any], content: bytes | None = None) -> Any:
    """Make an upload like the ones that FastAPI passes to endpoints. Without content, its file has to be filled."""
    from starlette.datastructures import Headers

    file = tempfile.SpooledTemporaryFile(max_size=_SPOOLED_BYTES)  # noqa: SIM115 - closed by the upload's owner
    file.write(content or b"")
    headers = Headers(raw=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in described["headers"]])
    from fastapi import UploadFile

    return UploadFile(file, size=described["size"], filename=described["name"], headers=headers)  # type: ignore[arg-type]


def tags_in(packed: Any) -> Iterator[dict[str, Any]]:
    """Yield the content of the tags of uploads in travelling arguments; each may be changed."""
    if isinstance(packed, dict):
        if packed.get("$postlude") == TAG:
            yield packed["value"]
        else:
            for item in packed.values():
                yield from tags_in(item)
    elif isinstance(packed, list):
        for item in packed:
            yield from tags_in(item)


def rewind(packed: Any) -> None:
    """Rewind uploads that are here, so that they read from their beginning like stored ones."""
    for described in tags_in(packed) if _here else ():
        find(described).file.seek(0)


def any_here() -> bool:
    """Whether this process has any upload that a call may name."""
    return bool(_here)


def _headers_of(upload: Any) -> Iterator[list[str]]:
    for name, value in upload.headers.raw:
        yield [name.decode("latin-1"), _storable(value.decode("latin-1"))]


def _storable(text: str) -> str:
    """Leave out NUL, which a foreign form may contain and no database keeps."""
    return text.replace("\0", "_")
