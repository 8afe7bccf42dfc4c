"""Thumbnails as they are written: without metadata, on a background where they need one, and with a blurhash."""

import io
from pathlib import Path
from typing import Any

import blurhash  # type: ignore[import-untyped]
import pytest
from PIL import Image

from jobs.image.errors import ImageTooLarge
from jobs.image.formats import OUTPUTS, output_for
from jobs.image.writing import blurhash_of, encoded
from tests.jobs.image.making import (
    GREEN,
    RED,
    WHITE,
    contained,
    corners,
    near,
    picture_of,
    profile_of,
    quarters,
    saved,
    thumbnail_of,
)

ORIENTATION, MAKE, GPS = 0x0112, 0x010F, 0x8825


def opened(written: bytes) -> Image.Image:
    return Image.open(io.BytesIO(written))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_thumbnails_have_nothing_but_pixels(format_name: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[MAKE] = "SecretCam"
    exif.get_ifd(GPS)[1] = "N"
    options: dict[str, Any] = {"exif": exif, "icc_profile": profile_of("sRGB")}
    if format_name == "JPEG":
        options |= {"comment": b"SecretComment", "xmp": b"<x:xmpmeta>SecretXmp</x:xmpmeta>"}
    path = saved(tmp_path, quarters(), format_name, **options)
    assert b"Secret" in path.read_bytes()
    for output in OUTPUTS.values():
        written = encoded(thumbnail_of(path), output, 80, None)
        assert b"Secret" not in written
        with opened(written) as thumbnail:
            assert thumbnail.format == output.pillow
            assert not {"exif", "icc_profile", "xmp", "comment"} & thumbnail.info.keys()
            assert not thumbnail.getexif()


def half_transparent(sort: str) -> tuple[Image.Image, dict[str, Any]]:
    """Make an image whose right half is transparent, and say how to write it."""
    right = (40, 0, 80, 40)
    if sort == "palette":
        image = Image.new("P", (80, 40), 0)
        image.putpalette([*RED, 1, 2, 3])
        image.paste(1, right)
        return image, {"transparency": 1}
    if sort == "colour key":
        image = Image.new("RGB", (80, 40), RED)
        image.paste((1, 2, 3), right)
        return image, {"transparency": (1, 2, 3)}
    image = Image.new("RGBA", (80, 40), (*RED, 255))
    image.paste((0, 0, 0, 0), right)
    return image.convert(sort), {}


@pytest.mark.parametrize("sort", ["palette", "colour key", "RGBA", "LA"])
def test_background_shows_through_transparent_parts(sort: str, tmp_path: Path) -> None:
    image, options = half_transparent(sort)
    thumbnail = thumbnail_of(saved(tmp_path, image, "PNG", **options))
    for output in OUTPUTS.values():
        assert near(corners(opened(encoded(thumbnail, output, 95, "#14dc14")).convert("RGB"))[1], GREEN, 30)
        plain = opened(encoded(thumbnail, output, 95, None))
        seen = corners(plain)[1]
        assert near(seen, WHITE) if output.pillow == "JPEG" else seen[3] == 0


def test_transparent_edges_have_no_halo(tmp_path: Path) -> None:
    image, _ = half_transparent("RGBA")
    thumbnail = thumbnail_of(saved(tmp_path, image, "PNG"), (11, 11))
    pixels = [thumbnail.getpixel((x, y)) for x in range(thumbnail.width) for y in range(thumbnail.height)]
    visible = [pixel for pixel in pixels if isinstance(pixel, tuple) and pixel[3] > 8]
    assert visible
    assert all(near(pixel[:3], RED, 25) for pixel in visible)


def test_formats_are_kept_unless_they_are_not_written_here() -> None:
    kept = {name: output_for("keep", name).pillow for name in ("JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "BMP")}
    as_png = dict.fromkeys(("PNG", "GIF", "BMP"), "PNG")
    assert kept == {"JPEG": "JPEG", "MPO": "JPEG", "WEBP": "WEBP", "AVIF": "AVIF"} | as_png
    assert output_for("webp", "JPEG").suffix == ".webp"


def test_quality_is_what_is_asked_for(tmp_path: Path) -> None:
    noise = thumbnail_of(saved(tmp_path, Image.effect_noise((200, 200), 80).convert("RGB"), "PNG"), (200, 200))
    for name in ("jpeg", "webp", "avif"):
        sizes = [len(encoded(noise, output_for(name, None), quality, None)) for quality in (10, 50, 95)]
        assert sizes == sorted(sizes)
        assert sizes[0] * 2 < sizes[-1]


def colours_of(hashed: str) -> list[tuple[int, ...]]:
    return [tuple(pixel) for row in blurhash.decode(hashed, 4, 2) for pixel in row]


def test_blurhash_is_that_of_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    turned = quarters().transpose(Image.Transpose.ROTATE_90)
    hashes = [
        blurhash_of(picture_of(saved(tmp_path, quarters(), "PNG")), None),
        blurhash_of(picture_of(saved(tmp_path, turned, "PNG", exif=exif)), None),
    ]
    assert all(near(one, other) for one, other in zip(*map(colours_of, hashes), strict=True))
    assert hashes[0].startswith("L")  # four waves across, three down
    upright = picture_of(saved(tmp_path, turned, "PNG"))
    assert blurhash_of(upright, None).startswith("T")  # three across, four down
    assert upright.cut(contained(upright.size)).size == (20, 40)


def test_smallest_image_has_a_blurhash(tmp_path: Path) -> None:
    assert len(blurhash_of(picture_of(saved(tmp_path, Image.new("RGBA", (1, 1)), "PNG")), "#000000")) == 28


def test_thumbnail_that_cannot_be_written_is_told() -> None:
    with pytest.raises(ImageTooLarge, match=r"20,000 .* too large to write as WEBP"):
        encoded(Image.new("RGB", (20_000, 1)), OUTPUTS["webp"], 80, None)
