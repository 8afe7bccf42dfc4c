"""Thumbnails look like their image, however it was written."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.jobs.image.making import BLUE, BOX, contained, picture_of, quarters, saved, shows_quarters, thumbnail_of

ORIENTATION = 0x0112
# What turns an image so that its orientation turns it back.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_every_orientation_is_turned_upright(format_name: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    for orientation, turn in TURNS.items():
        exif[ORIENTATION] = orientation
        picture = picture_of(saved(tmp_path, quarters((160, 80)).transpose(turn), format_name, exif=exif, quality=90))
        thumbnail = picture.cut(contained(picture.size))
        assert (picture.size, thumbnail.size) == ((160, 80), (40, 20)), orientation
        assert shows_quarters(thumbnail), orientation


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_that_is_none_turns_nothing(orientation: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert shows_quarters(thumbnail_of(saved(tmp_path, quarters(), "JPEG", exif=exif)))


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"MM\0*\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff" + 60 * b"\xff",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x02\0\0\0up\0\0",
    ],
    ids=["empty", "leads nowhere", "without end", "orientation is text"],
)
def test_exif_that_is_nonsense_costs_no_thumbnail(exif: bytes, tmp_path: Path) -> None:
    assert shows_quarters(thumbnail_of(saved(tmp_path, quarters(), "JPEG", exif=b"Exif\0\0" + exif)))


def test_of_several_frames_or_pages_the_first_is_taken(tmp_path: Path) -> None:
    for format_name in ("GIF", "PNG", "WEBP", "AVIF", "TIFF", "MPO"):
        others = [Image.new("RGB", (80, 40), BLUE)] * 3
        path = saved(tmp_path, quarters(), format_name, save_all=True, append_images=others)
        assert shows_quarters(thumbnail_of(path)), format_name


def test_large_image_is_read_with_no_more_pixels_than_its_thumbnails_need(tmp_path: Path) -> None:
    for format_name, fewest in (("JPEG", (200, 100)), ("PNG", (160, 80))):
        path = saved(tmp_path, quarters((1600, 800)), format_name)
        assert picture_of(path, (50, 50), (100, 100))._pixels.size == fewest
        assert picture_of(path, (700, 700))._pixels.size == (1600, 800)
        assert shows_quarters(thumbnail_of(path, (100, 100)))


def test_thumbnail_is_cut_from_the_middle_of_an_image_on_its_side(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image = Image.new("RGB", (160, 40), BLUE)
    image.paste(quarters((40, 40)), (60, 0))
    picture = picture_of(saved(tmp_path, image.transpose(TURNS[6]), "PNG", exif=exif))
    assert shows_quarters(picture.cut(contained(picture.size, BOX)._replace(width=40, height=40, across=0.25)))
