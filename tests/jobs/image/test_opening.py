"""Files that are not what they say: each is refused with the reason, soon, and within the limits."""

import contextlib
import errno
import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from jobs.image.errors import ImageBroken, ImageTooLarge, NoImage, blaming_image
from jobs.image.formats import LONGEST_SIDE, MOST_PIXELS
from jobs.image.opening import opened
from jobs.kit.outcomes import Discard
from tests.jobs.image.making import picture_of, png_of_header, quarters, saved, shows_quarters, thumbnail_of

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd"/></svg>'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        SVG,
        b"<?xml version='1.0'?>" + SVG,
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
        b"%PDF-1.7\n",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
        b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(200),
        b"P6 9 9 255 " + bytes(243),
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        b"PK\x03\x04",
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "drawing.eps"])
def test_what_is_no_image_is_told_whatever_its_name(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((NoImage, ImageBroken)):
        thumbnail_of(tmp_path / name)


def test_refusal_says_what_the_file_looks_like_and_what_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(SVG)
    with (
        pytest.raises(NoImage, match=r"image/svg\+xml is not an image .* JPEG, PNG"),
        opened(tmp_path / "a.png", "image/svg+xml"),
    ):
        pass


def test_content_counts_and_not_the_ending(tmp_path: Path) -> None:
    for format_name in ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"):
        path = saved(tmp_path, quarters(), format_name).rename(tmp_path / "image.eps")
        assert shows_quarters(thumbnail_of(path)), format_name


def jpeg_of(width: int, height: int, *, progressive: bool = False) -> bytes:
    """Take a small JPEG, and have it say that it is of another size."""
    written = io.BytesIO()
    Image.new("RGB", (8, 8)).save(written, "JPEG", progressive=progressive)
    content = bytearray(written.getvalue())
    start_of_frame = content.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    content[start_of_frame + 5 : start_of_frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def gif_of(width: int, height: int) -> bytes:
    size = struct.pack("<HH", width, height)
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"," + bytes(4) + size + b"\0\x02\x02\x4c\x01\0;"


def bmp_of(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + info + bytes(4)


def webp_of(width: int, height: int) -> bytes:
    body = b"VP8X" + struct.pack("<II", 10, 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def tiff_of(width: int, height: int) -> bytes:
    entries = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (278, height), (279, 4)]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)


@pytest.mark.parametrize(
    "made", [png_of_header, jpeg_of, gif_of, bmp_of, webp_of, tiff_of], ids=lambda made: made.__name__
)
@pytest.mark.parametrize("size", [(60_000, 60_000), (10_001, 20_001)])
def test_bombs_are_refused_by_their_size_before_they_take_memory(
    made: Callable[[int, int], bytes], size: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "bomb").write_bytes(made(*size))
    with pytest.raises(ImageTooLarge, match="pixels"):
        thumbnail_of(tmp_path / "bomb")


def test_limits_are_those_of_each_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MOST_PIXELS:
        monkeypatch.setitem(MOST_PIXELS, name, 3199)
        path = saved(tmp_path, quarters(), name)
        with pytest.raises(ImageTooLarge, match="3,199 pixels"):
            thumbnail_of(path)
        monkeypatch.setitem(MOST_PIXELS, name, 3200)
        assert thumbnail_of(path)


def test_longest_side_is_bounded_too(tmp_path: Path) -> None:
    (tmp_path / "line.png").write_bytes(png_of_header(1, LONGEST_SIDE + 1))
    with pytest.raises(ImageTooLarge, match="one side"):
        thumbnail_of(tmp_path / "line.png")


def test_jpeg_larger_than_can_be_decoded_whole_has_small_thumbnails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.image.picture.MOST_DECODED", 500_000)
    path = saved(tmp_path, quarters((1600, 800)), "JPEG")
    assert picture_of(path, (100, 100))
    with pytest.raises(ImageTooLarge, match="large thumbnails"):
        picture_of(path, (1600, 1600))


def test_progressive_jpeg_is_not_called_broken_for_being_too_large(tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(jpeg_of(12_000, 12_000, progressive=True))
    with pytest.raises(ImageTooLarge, match="progressive"):
        thumbnail_of(tmp_path / "large.jpg")


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
def test_file_that_is_cut_off_anywhere_is_told(format_name: str, tmp_path: Path) -> None:
    whole = saved(tmp_path, Image.effect_noise((60, 60), 90).convert("RGB"), format_name).read_bytes()
    for share in range(1, 19):
        path = tmp_path / "cut"
        path.write_bytes(whole[: len(whole) * share // 20])
        with pytest.raises(Discard):
            thumbnail_of(path)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
def test_bytes_that_were_changed_cost_at_most_the_thumbnail(format_name: str, tmp_path: Path) -> None:
    whole = saved(tmp_path, quarters(), format_name).read_bytes()
    path = tmp_path / "changed"
    for at in range(0, min(len(whole), 300), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with contextlib.suppress(Discard):
            thumbnail_of(path)


def test_other_kinds_find_pillow_as_it_was(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    thumbnail_of(saved(tmp_path, quarters(), "PNG"))
    (tmp_path / "bomb").write_bytes(png_of_header(60_000, 60_000))
    with pytest.raises(ImageTooLarge):
        thumbnail_of(tmp_path / "bomb")
    assert before == Image.MAX_IMAGE_PIXELS


def test_disk_that_fails_is_not_the_images_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        thumbnail_of(tmp_path / "gone")
    with pytest.raises(OSError, match="disk"), blaming_image():
        raise OSError(errno.EIO, "the disk")
    with pytest.raises(ImageTooLarge, match="1,024 MB"), blaming_image():
        raise MemoryError
