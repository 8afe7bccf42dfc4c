"""`make_thumbnail`: smaller versions of an image.

kind.py      the kind; args.py: its args and its result
formats.py   what images may be, with limits, and what thumbnails may be
opening.py   from a file to an image, within the limits
scans.py     how often a JPEG goes through all of its image
colours.py   from an image's colours to sRGB
geometry.py  how large a thumbnail is, and which part of the image fills it
picture.py   an image that was read once, from which thumbnails are cut
writing.py   the bytes of a thumbnail, and the blurhash
errors.py    why there are none

Pillow is imported where it is used: the API loads all kinds, but makes no thumbnails.
"""

from jobs.image.args import MakeThumbnailArgs
from jobs.image.kind import make_thumbnail

__all__ = ["MakeThumbnailArgs", "make_thumbnail"]
