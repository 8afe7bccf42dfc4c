"""A picture: an image that was read once, from which thumbnails are cut."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.image.colours import averageable, srgb_of
from jobs.image.errors import ImageTooLarge, blaming_image
from jobs.image.formats import MOST_DECODED
from jobs.image.geometry import Cut, Pixels
from jobs.image.opening import opened
from jobs.image.scans import scans_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_ORIENTATION = 0x0112  # the tag of EXIF
_UPRIGHT, _ON_ITS_SIDE, _LAST = 1, 5, 8
# Averaging whole blocks of pixels is quick. With this many times as many left to resample, thumbnails of a photo are
# within 41 dB of thumbnails resampled from all pixels; JPEG of quality 80 costs both far more.
_LEFT_TO_RESAMPLE = 1.5


@dataclass(frozen=True, slots=True)
class Picture:
    """An image's pixels, no more than its thumbnails need. `size` is the image's, upright."""

    format: str | None
    size: Pixels
    _pixels: "Image"
    _orientation: int
    _to_srgb: Callable[["Image"], "Image"]

    @blaming_image()
    def cut(self, cut: Cut) -> "Image":
        """Return a thumbnail: upright, in sRGB, in the mode RGB or RGBA, and with only pixels.

        Raises `ImageTooLarge`.
        """
        from PIL.Image import Resampling

        turned = cut.turned() if self._orientation >= _ON_ITS_SIDE else cut
        width, height = self._pixels.size
        aside, above = width * (1 - turned.across) / 2, height * (1 - turned.down) / 2
        resized = self._pixels.resize(
            (turned.width, turned.height),
            Resampling.LANCZOS,
            box=(aside, above, width - aside, height - above),
            reducing_gap=_LEFT_TO_RESAMPLE,
        )
        upright = _turned_upright(self._to_srgb(resized), self._orientation)
        upright.info = {}  # its entries would be written into files
        return upright


def read_picture(path: Path, content_type: str, plan: Callable[[Pixels], Sequence[Cut]]) -> Picture:
    """Read an image for the thumbnails that `plan` derives from its size. Raises the errors of `errors.py`.

    `content_type` is what to call the file if it is not an image.
    """
    with opened(path, content_type) as image:
        # Its decoder can leave out what thumbnails do not need, and its EXIF comes first. Elsewhere EXIF may come last.
        is_jpeg = image.format in ("JPEG", "MPO")
        if not is_jpeg:
            image.load()
        orientation = _orientation_of(image)
        full = _swapped(image.size, orientation)
        needed = _swapped(_needed(plan(full)), orientation)
        if is_jpeg:
            _leave_out(image, needed)
        pixels = _reduced(averageable(image), needed)
        return Picture(image.format, full, pixels, orientation, srgb_of(pixels))


def _leave_out(jpeg: "ImageFile", needed: Pixels) -> None:
    """Decode only as many pixels as are needed."""
    assert jpeg.fp is not None
    is_progressive, components = "progression" in jpeg.info, len(jpeg.getbands())
    is_whole = scans_of(jpeg.fp, None if is_progressive else components).are_of_whole(components)
    # Of several scans its decoder keeps everything, at twice the size, until the last. Out of memory, it says "broken".
    if (is_progressive or not is_whole) and jpeg.width * jpeg.height > MOST_DECODED:
        raise ImageTooLarge(
            f"the image has more than {MOST_DECODED:,} pixels, the most for a JPEG in several scans (progressive)"
        )
    jpeg.draft(None, (math.ceil(needed[0] * _LEFT_TO_RESAMPLE), math.ceil(needed[1] * _LEFT_TO_RESAMPLE)))
    if jpeg.width * jpeg.height > MOST_DECODED:
        raise ImageTooLarge(f"the image has more than {MOST_DECODED:,} pixels, which is too many for large thumbnails")


def _needed(cuts: Sequence[Cut]) -> Pixels:
    """Return how many pixels the whole image would have at the scale of its largest thumbnail."""
    return (
        max(math.ceil(cut.width / cut.across) for cut in cuts),
        max(math.ceil(cut.height / cut.down) for cut in cuts),
    )


def _reduced(image: "Image", needed: Pixels) -> "Image":
    """Average whole blocks of pixels, as long as enough are left."""
    image.load()
    blocks = [max(1, int(side / (_LEFT_TO_RESAMPLE * few))) for side, few in zip(image.size, needed, strict=True)]
    return image.reduce((blocks[0], blocks[1])) if max(blocks) > 1 else image


def _orientation_of(image: "ImageFile") -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001 - EXIF may be anything, and pictures are shown without it
        return _UPRIGHT
    return orientation if isinstance(orientation, int) and orientation in range(_UPRIGHT, _LAST + 1) else _UPRIGHT


def _swapped(size: Pixels, orientation: int) -> Pixels:
    return (size[1], size[0]) if orientation >= _ON_ITS_SIDE else size


def _turned_upright(image: "Image", orientation: int) -> "Image":
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image
