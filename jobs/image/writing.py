"""Writes a picture: as the bytes of a thumbnail, and as a blurhash."""

import io
from typing import TYPE_CHECKING

from jobs.image.errors import ImageTooLarge, blaming_image
from jobs.image.formats import Output
from jobs.image.geometry import cut_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from jobs.image.picture import Picture

_WHITE = "#ffffff"
# A blurhash of so few waves is the same for more pixels, which the library reads one by one.
_BLUR_SIDE = 16
_WAVES = (4, 3)
_CHANNELS = 3


@blaming_image()
def encoded(thumbnail: "Image", output: Output, quality: int, background: str | None) -> bytes:
    """Write a thumbnail, without EXIF, comments or other metadata of the image. Raises `ImageTooLarge`."""
    if background or not output.has_alpha:
        thumbnail = _flattened(thumbnail, background or _WHITE)
    written = io.BytesIO()
    try:
        thumbnail.save(written, output.pillow, quality=quality)
    except (OSError, RuntimeError, ValueError) as error:  # encoders out of memory only give their own error numbers
        size = f"{thumbnail.width:,} by {thumbnail.height:,}"
        raise ImageTooLarge(
            f"a thumbnail of {size} pixels is too large to write as {output.pillow} ({error})"
        ) from error
    return written.getvalue()


@blaming_image()
def blurhash_of(picture: "Picture", background: str | None) -> str:
    import blurhash  # type: ignore[import-untyped]

    small = picture.cut(cut_of(picture.size, (_BLUR_SIDE, _BLUR_SIDE), "contain", upscale=False))
    row, pixel = small.width * _CHANNELS, _CHANNELS
    written = _flattened(small, background or _WHITE).tobytes()
    rows = [
        [written[at : at + pixel] for at in range(start, start + row, pixel)] for start in range(0, len(written), row)
    ]
    waves = _WAVES if small.width >= small.height else reversed(_WAVES)
    hashed: str = blurhash.encode(rows, *waves)
    return hashed


def _flattened(image: "Image", background: str) -> "Image":
    from PIL import Image

    if image.mode != "RGBA":
        return image
    flat = Image.new("RGB", image.size, background)
    flat.paste(image, mask=image)
    return flat
