"""Opens a file as an image: only by its content, only with the decoders listed here, and within their limits."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from jobs.image.errors import ImageBroken, ImageTooLarge, NoImage, blaming_image
from jobs.image.formats import LONGEST_SIDE, MOST_PIXELS

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_NAMES = "JPEG, PNG, GIF, WebP, AVIF, TIFF and BMP"


@contextlib.contextmanager
def opened(path: Path, content_type: str) -> Iterator["ImageFile"]:
    """Open an image, whose pixels are read within the context. Raises the errors of `errors.py`."""
    with blaming_image(), warnings.catch_warnings(), path.open("rb") as file:
        # Pillow warns of odd metadata, which is left out anyway, and of images beyond MAX_IMAGE_PIXELS.
        warnings.simplefilter("ignore")
        image, most_pixels = _identified(file, content_type)
        with image, _limited_to(most_pixels):
            _check_sides(image)
            yield image


def _identified(file: IO[bytes], content_type: str) -> tuple["ImageFile", int]:
    from PIL import Image, UnidentifiedImageError

    _load_decoders()
    for name, most_pixels in MOST_PIXELS.items():
        # Some decoders allocate memory for all pixels as soon as a file is opened.
        with contextlib.suppress(UnidentifiedImageError), _limited_to(most_pixels):
            return Image.open(file, formats=(name,)), most_pixels
    raise NoImage(f"what looks like {content_type} is not an image that can be opened here; only {_NAMES} can")


def _load_decoders() -> None:
    """Load the decoders that Pillow does not load by itself, but not all, as it would for an unknown file."""
    from PIL import AvifImagePlugin, TiffImagePlugin, WebPImagePlugin

    assert TiffImagePlugin
    assert WebPImagePlugin
    # There are at least as many child processes as CPUs, so one thread is enough for each.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1


@contextlib.contextmanager
def _limited_to(most_pixels: int) -> Iterator[None]:
    """Make Pillow refuse larger images. Other kinds in this process keep their own limit."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = most_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"the image has more than {most_pixels:,} pixels, the most for its format") from error
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _check_sides(image: "ImageFile") -> None:
    if max(image.size) > LONGEST_SIDE:
        raise ImageTooLarge(f"the image has {max(image.size):,} pixels on one side; at most {LONGEST_SIDE:,} are read")
    if min(image.size) == 0:
        raise ImageBroken("the image has no pixels")
