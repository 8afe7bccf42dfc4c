"""Colours: from an image's own to sRGB, in which pictures that name no colour space are shown."""

import io
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobs.image.errors import ImageBroken

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform

# Modes with premultiplied alpha or a meaningless byte: no profile is for them.
_PLAIN = {"La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}
_STEPS_OF_16_BIT = 256
_WHITE = 255


def averageable(image: "Image") -> "Image":
    """Return the image in a mode whose pixels can be averaged: palette indexes and 16 bits cannot."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value / _STEPS_OF_16_BIT).convert("L")
    if image.mode in ("I", "F"):
        return _stretched(image)
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.convert("L") if image.mode == "1" else image


def _stretched(image: "Image") -> "Image":
    """Show the lowest number as black and the highest one as white: such numbers have no agreed meaning."""
    low, high = image.getextrema()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageBroken("some pixels of the image are not finite numbers")
    scale = _WHITE / ((high - low) or 1)
    return image.point(lambda value: value * scale - low * scale).convert("L")


def srgb_of(image: "Image") -> Callable[["Image"], "Image"]:
    """Return a function that converts pictures of the image to sRGB, in the mode RGB or RGBA."""
    plain = _PLAIN.get(image.mode, image.mode)
    wanted = "RGBA" if plain in ("LA", "RGBA") else "RGB"
    transform = _transform(image, plain, wanted)

    def to_srgb(picture: "Image") -> "Image":
        if picture.mode != plain:
            picture = picture.convert(plain)
        return picture.convert(wanted) if transform is None else transform.apply(picture)

    return to_srgb


def _transform(image: "Image", mode: str, wanted: str) -> "ImageCmsTransform | None":
    """Read the image's profile; a broken one, or one for other colours, counts as none."""
    from PIL import ImageCms

    written = image.info.get("icc_profile")
    try:
        if mode == "LAB":
            return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), mode, wanted)
        if isinstance(written, bytes):
            own = ImageCms.ImageCmsProfile(io.BytesIO(written))
            return ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), mode, wanted)
    except (ImageCms.PyCMSError, OSError, ValueError):
        pass
    return None
