"""Makes images by script, and thumbnails of them by hand."""

import struct
import zlib
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageCms

from jobs.image.geometry import Cut, Pixels, cut_of
from jobs.image.picture import Picture, read_picture

RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 220, 20), (20, 20, 220), (255, 255, 255)
BOX = (40, 40)


def quarters(size: Pixels = (80, 40)) -> Image.Image:
    """Make an image that looks different whichever way it is turned: red and green above blue and white."""
    image = Image.new("RGB", size)
    width, height = size[0] // 2, size[1] // 2
    for colour, x, y in ((RED, 0, 0), (GREEN, width, 0), (BLUE, 0, height), (WHITE, width, height)):
        image.paste(colour, (x, y, x + width, y + height))
    return image


def shows_quarters(image: Image.Image) -> bool:
    wanted = (RED, GREEN, BLUE, WHITE)
    return all(near(got[:3], colour, 40) for got, colour in zip(corners(image), wanted, strict=True))


def saved(folder: Path, image: Image.Image, format_name: str, **options: Any) -> Path:
    path = folder / f"image.{format_name.lower()}"
    image.save(path, format_name, **options)
    return path


def picture_of(path: Path, *boxes: Pixels) -> Picture:
    """Read an image for thumbnails within boxes."""
    return read_picture(path, "image/test", lambda size: [contained(size, box) for box in boxes or (BOX,)])


def thumbnail_of(path: Path, box: Pixels = BOX) -> Image.Image:
    picture = picture_of(path, box)
    return picture.cut(contained(picture.size, box))


def contained(size: Pixels, box: Pixels = BOX) -> Cut:
    return cut_of(size, box, "contain", upscale=False)


def profile_of(space: Literal["sRGB", "LAB"]) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """Return the colours within the quarters of an image, left to right and downwards."""
    across, down = (image.width // 4, image.width * 3 // 4), (image.height // 4, image.height * 3 // 4)
    colours = [image.getpixel((x, y)) for y in down for x in across]
    return [colour for colour in colours if isinstance(colour, tuple)]


def near(colour: tuple[int, ...], other: tuple[int, ...], by: int = 12) -> bool:
    return len(colour) == len(other) and all(abs(one - two) <= by for one, two in zip(colour, other, strict=True))


def png_of_header(
    width: int, height: int, *, depth: int = 8, colour_type: int = 2, key: bytes = b"", pixels: bytes = b""
) -> bytes:
    """Write a PNG by hand, of any size, with the pixels that are given and no more; `key` is what is transparent."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"tRNS", key), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts if part[0] != b"tRNS" or key)
