"""Colours come out as they are meant, whatever numbers an image has for them."""

from pathlib import Path

import pytest
from PIL import Image, ImageCms

from jobs.image.errors import ImageBroken
from tests.jobs.image.making import (
    RED,
    WHITE,
    corners,
    near,
    profile_of,
    quarters,
    saved,
    shows_quarters,
    thumbnail_of,
)


@pytest.mark.parametrize(
    ("mode", "format_name"),
    [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("P", "GIF"), ("P", "BMP"), ("YCbCr", "TIFF"), ("LAB", "TIFF")],
)
def test_every_sort_of_colours_becomes_what_it_looks_like(mode: str, format_name: str, tmp_path: Path) -> None:
    image = quarters()
    if mode == "LAB":
        spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.buildTransform(*spaces, "RGB", "LAB").apply(image)
    thumbnail = thumbnail_of(saved(tmp_path, image if mode == "LAB" else image.convert(mode), format_name))
    assert thumbnail.mode == "RGB"
    assert shows_quarters(thumbnail)


@pytest.mark.parametrize(
    ("mode", "format_name", "white"),
    [
        ("1", "PNG", 255),
        ("L", "JPEG", 255),
        ("I;16", "PNG", 65535),
        ("I;16", "TIFF", 65535),
        ("I;16B", "TIFF", 65535),
        ("I", "TIFF", 1_000_000),
        ("F", "TIFF", 0.5),
    ],
)
def test_grey_of_any_depth_goes_from_black_to_white(mode: str, format_name: str, white: float, tmp_path: Path) -> None:
    image = Image.new(mode, (80, 40), 0)
    image.paste(Image.new(mode, (40, 40), white), (40, 0))
    black, other, *_ = corners(thumbnail_of(saved(tmp_path, image, format_name)))
    assert near(black, (0, 0, 0))
    assert near(other, WHITE)


def test_pixels_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    with pytest.raises(ImageBroken, match="not finite numbers"):
        thumbnail_of(saved(tmp_path, Image.new("F", (8, 8), float("nan")), "TIFF"))


def swapped_profile() -> bytes:
    """Make a profile in which the numbers for red and green mean one another."""
    profile = bytearray(profile_of("sRGB"))
    entries = range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12)
    places = {bytes(profile[at : at + 4]): at for at in entries}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_colours_are_what_the_profile_says(format_name: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 40), RED)
    thumbnail = thumbnail_of(saved(tmp_path, image, format_name, icc_profile=swapped_profile(), quality=95))
    pixel = thumbnail.getpixel((20, 20))
    assert isinstance(pixel, tuple)
    assert pixel[1] > 180 > 90 > pixel[0]


@pytest.mark.parametrize(
    "profile",
    [b"no profile", swapped_profile()[:200], b"\xff" * 3000, profile_of("LAB")],
    ids=["text", "cut off", "ones", "of other colours"],
)
def test_broken_profiles_count_as_none(profile: bytes, tmp_path: Path) -> None:
    assert shows_quarters(thumbnail_of(saved(tmp_path, quarters(), "JPEG", icc_profile=profile)))
