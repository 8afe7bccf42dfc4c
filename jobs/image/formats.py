"""The formats that images may come in, and the formats of thumbnails."""

from typing import Literal, NamedTuple

Format = Literal["jpeg", "png", "webp", "avif"]
FormatOrKeep = Literal[Format, "keep"]

# No panorama is longer. Pillow keeps a pointer for each line, so lines cost memory even without pixels.
LONGEST_SIDE = 100_000

# By Pillow's names. JPEG is decoded at a fraction of its size if that is enough, all others are decoded whole:
# Pillow takes 4 bytes for a pixel, and again to change the mode. Decoders of WebP and AVIF have their own copies.
MOST_DECODED = 100_000_000
MOST_PIXELS = {
    "JPEG": 200_000_000,
    "PNG": MOST_DECODED,
    "GIF": MOST_DECODED,
    "WEBP": 50_000_000,
    "AVIF": 50_000_000,
    "TIFF": MOST_DECODED,
    "BMP": MOST_DECODED,
}


class Output(NamedTuple):
    """A format of thumbnails, as Pillow, HTTP and file names know it."""

    pillow: str
    content_type: str
    suffix: str
    has_alpha: bool = True


OUTPUTS: dict[Format, Output] = {
    "jpeg": Output("JPEG", "image/jpeg", ".jpg", has_alpha=False),
    "png": Output("PNG", "image/png", ".png"),
    "webp": Output("WEBP", "image/webp", ".webp"),
    "avif": Output("AVIF", "image/avif", ".avif"),
}

# MPO is JPEG with more pictures behind the first, as many cameras write it.
_KEPT: dict[str | None, Format] = {"JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp", "AVIF": "avif"}


def output_for(wanted: FormatOrKeep, source: str | None) -> Output:
    """Return the format of an image's thumbnails: PNG if the image's own is not written here."""
    return OUTPUTS[_KEPT.get(source, "png") if wanted == "keep" else wanted]
