import io
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.image.errors import ImageBroken, ImageTooLarge
from jobs.image.scans import MOST_SCANS, scans_of
from tests.jobs.image.making import quarters, shows_quarters, thumbnail_of

_SCAN, _END = b"\xff\xda", b"\xff\xd9"


def jpeg(*, progressive: bool = False) -> bytes:
    written = io.BytesIO()
    quarters().save(written, "JPEG", progressive=progressive)
    return written.getvalue()


def with_scans_more(count: int) -> bytes:
    """Make a progressive JPEG, whose last scan is repeated this many times."""
    content = jpeg(progressive=True)
    last_scan = content[content.rindex(_SCAN) : -2]
    return content[:-2] + last_scan * count + _END


def of_empty_scans(count: int) -> bytes:
    """Make a baseline JPEG of three components, each of which comes in scans of its own, without a pixel in them."""
    scans = [_SCAN + struct.pack(">HBBBBBB", 8, 1, component, 0, 0, 63, 0) for component in (1, 2, 3)]
    content = jpeg()
    return content[: content.index(_SCAN)] + b"".join(scans[at % 3] for at in range(count)) + _END


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_behind_start(content: bytes, more: bytes) -> bytes:
    return content[:2] + more + content[2:]


def counted(content: bytes) -> int:
    return scans_of(io.BytesIO(content)).count


@pytest.mark.parametrize("made", [with_scans_more, of_empty_scans], ids=["progressive", "baseline"])
def test_jpeg_that_would_keep_its_decoder_busy_with_scans_is_refused(
    made: Callable[[int], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(made(40))
    assert thumbnail_of(path)
    path.write_bytes(made(MOST_SCANS + 1))
    with pytest.raises(ImageBroken, match="too many scans"):
        thumbnail_of(path)


@pytest.mark.parametrize("scans", [1, 3])
def test_jpeg_whose_components_come_one_after_another_may_have_as_many_pixels_as_a_progressive_one(
    scans: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.jpg"
    monkeypatch.setattr("jobs.image.picture.MOST_DECODED", 80 * 40 - 1)
    path.write_bytes(of_empty_scans(scans))
    with pytest.raises(ImageTooLarge, match="several scans"):
        thumbnail_of(path, (10, 5))
    path.write_bytes(jpeg())
    assert thumbnail_of(path, (10, 5))


def test_what_only_looks_like_a_scan_is_none(tmp_path: Path) -> None:
    likes = segment(0xDA, b"\1\1\0\0\x3f\0") * MOST_SCANS * 2
    noted = segment(0xE1, b"Exif\0\0" + likes) + segment(0xE2, b"ICC_PROFILE\0\1\1" + likes) + segment(0xFE, likes)
    path = tmp_path / "image.jpg"
    for progressive in (False, True):
        whole = jpeg(progressive=progressive)
        path.write_bytes(with_behind_start(whole, noted) + b"\0\0\0\x18ftypmp42" + likes)
        assert shows_quarters(thumbnail_of(path))
        assert counted(path.read_bytes()) == counted(whole)


def test_scans_are_found_where_the_decoder_finds_them() -> None:
    scan = segment(0xDA, b"\1\1\0\0\x3f\0")
    pixels = b"\1\xff\0\xda\xff\xd0\2\xff\xd7\xff\xff\0\xda"
    assert counted(b"\xff\xd8" + scan + pixels + scan + pixels + b"\xff\xff" + scan + _END + b"\0\0" + scan) == 3
    # A decoder that waits for a restart passes over a reserved marker, but not over the length that would follow.
    assert counted(b"\xff\xd8" + scan + b"\xff\2\xff\xff" + scan) == 2
    assert counted(b"\xff\xd8" + segment(0xE0, b"")[:2] + b"\0\0" + scan) == 1


def test_scans_are_counted_across_the_pieces_in_which_a_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = with_behind_start(with_scans_more(5), segment(0xE1, _SCAN * 50))
    counts = set()
    for size in range(1, 40):
        monkeypatch.setattr("jobs.image.scans._CHUNK_BYTES", size)
        counts.add(counted(whole))
    assert counts == {counted(jpeg(progressive=True)) + 5}


def test_scans_of_a_large_photo_are_counted_quickly_and_leave_the_file_where_it_was() -> None:
    noise = random.Random(1).randbytes(1_000_000).replace(b"\xff", b"\xff\0")
    content = jpeg()
    for piece in (noise, b"\xff\0" * 500_000, b"\xff" * 1_000_000):
        file = io.BytesIO(content[:-2] + piece * 30 + _END)
        file.seek(7)
        began = time.process_time()
        assert scans_of(file).count == 1
        assert time.process_time() - began < 3
        assert file.tell() == 7
