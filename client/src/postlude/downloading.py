"""A download: complete at its path or not there at all. One that breaks off continues where it was, and is checked."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Union
from urllib.parse import quote

from postlude.errors import FileDamaged
from postlude.ids import id_of, new_id
from postlude.requests import Request

if TYPE_CHECKING:
    import httpx

    from postlude.models import File

Target = Union[str, "os.PathLike[str]", IO[bytes]]

CHUNK_BYTES = 256 * 1024
# The tag of a file is the SHA-256 of its bytes.
_HASH = re.compile(r'"([0-9a-f]{64})"')


class Download:
    """A download into an open file."""

    def __init__(self, file: str | File, out: IO[bytes]) -> None:
        self._path = f"/v1/files/{quote(id_of(file, 'file'), safe='')}"
        self._out = out
        self._written = 0
        self._hash = hashlib.sha256()
        self._tag: str | None = None

    def request(self) -> Request:
        """Return the request for the rest of it."""
        headers = {"accept": "*/*", "accept-encoding": "identity"}
        if self._written and self._tag:
            headers |= {"range": f"bytes={self._written}-", "if-range": self._tag}
        return Request("GET", self._path, headers=headers)

    def begin(self, response: httpx.Response) -> bool:
        """Read the head of an answer; False if it does not carry the file."""
        if response.status_code not in (200, 206):
            return False
        if response.status_code == 200 and self._written:  # a different file by now, or one that cannot be continued
            self._out.seek(self._out.tell() - self._written)
            self._out.truncate()
            self._written = 0
            self._hash = hashlib.sha256()
        self._tag = response.headers.get("etag")
        return True

    def write(self, chunk: bytes) -> None:
        self._out.write(chunk)
        self._written += len(chunk)
        self._hash.update(chunk)

    def check(self) -> None:
        """Raise `FileDamaged` unless all of it is what was stored: a part of it alone, nobody else can check."""
        told = _HASH.fullmatch(self._tag or "")
        if told is not None and self._hash.hexdigest() != told[1]:
            raise FileDamaged(f"{self._path} has come with other bytes than were stored: its hash is not {told[1]}.")


@contextmanager
def opened(target: Target) -> Iterator[IO[bytes]]:
    """Open a download's destination: in the end a path has all of it, or what it had before."""
    if not isinstance(target, (str, os.PathLike)):
        yield target
        return
    path = Path(target)
    beside = path.with_name(f".download-{new_id()}")  # not a `tempfile`, which only its owner may read
    try:
        with beside.open("xb") as file:
            yield file
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
