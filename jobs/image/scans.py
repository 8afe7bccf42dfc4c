"""Scans of a JPEG: each takes its decoder through all of the image, however few bytes the scan has.

Progressive JPEGs have several, and so do others whose components (brightness, colours) come one after another.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from jobs.image.errors import ImageBroken

# Encoders make about ten, and the most that libjpeg's own make is a hundred.
MOST_SCANS = 100
# ITU-T T.81, B.1.1: the markers before which libjpeg stops. In pixels, FF stands before 00 and the markers of restarts.
# Below C0 all are reserved: libjpeg passes over those that it meets, but not over bytes that follow them.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_HEADER_BYTES = 3  # the segment's length, and of a scan how many components it has
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scans:
    """How many scans there are, and how many components are in the first one."""

    count: int
    first_has: int

    def are_of_whole(self, components: int) -> bool:
        """Whether the first scan is the only one, with all `components` of the image."""
        return self.count <= 1 and self.first_has == components


def scans_of(file: IO[bytes], whole: int | None = None) -> Scans:
    """Count the scans of a JPEG, up to a first one that has all of its `whole` components.

    Behind such a scan its decoder reads no more, unless the image is progressive. Raises `ImageBroken` for so many
    scans that decoding the image would take minutes.
    """
    before = file.tell()
    file.seek(0)
    count = first_has = 0
    for marker, components in _segments(file):
        if marker == _START_OF_SCAN:
            count += 1
            first_has = first_has or components
        if count == 1 and first_has == whole:
            break
        if count > MOST_SCANS:
            raise ImageBroken(f"the image comes in too many scans; at most {MOST_SCANS:,} are read")
    file.seek(before)
    return Scans(count, first_has)


def _segments(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield each segment's marker and the byte after its length, up to the end of the first image."""
    held, at = b"", 0
    while True:
        found = _MARKER.search(held, at)
        if found and found[1][0] == _END_OF_IMAGE:
            return
        if found and found.end() + _HEADER_BYTES <= len(held):
            yield found[1][0], held[found.end() + 2]
            at = found.end() + max(2, int.from_bytes(held[found.end() : found.end() + 2]))
            continue
        more = file.read(_CHUNK_BYTES)
        if not more:
            return
        needed = found.start() if found else max(at, len(held) - 1)  # the last byte may be half a marker
        held, at = held[needed:] + more, max(0, needed - len(held))
