"""Scans of a progressive JPEG: each takes its decoder through all of the image, however few bytes it has."""

from functools import partial
from typing import IO

from jobs.image.errors import ImageBroken

# Encoders make about ten, and the most that libjpeg's own make is a hundred.
MOST_SCANS = 500
_START_OF_SCAN = b"\xff\xda"  # no pixels have these bytes (ITU-T T.81, F.1.2.3)
_CHUNK_BYTES = 1024 * 1024


def check_scans(file: IO[bytes]) -> None:
    """Raise `ImageBroken` for a JPEG with so many scans that decoding it would take minutes."""
    before = file.tell()
    file.seek(0)
    # One across the end of a chunk is missed: that does not matter here.
    scans = sum(chunk.count(_START_OF_SCAN) for chunk in iter(partial(file.read, _CHUNK_BYTES), b""))
    file.seek(before)
    if scans > MOST_SCANS:
        raise ImageBroken(f"the image comes in {scans:,} scans; at most {MOST_SCANS:,} are read")
