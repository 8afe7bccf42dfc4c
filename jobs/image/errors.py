"""Why a file has no thumbnails: the classes whose names are the recorded error types.

Discard
├── NoImage       its content has no format that is opened here
├── ImageBroken   it is cut off or damaged, or contradicts itself
└── ImageTooLarge it has too many pixels, or takes too much memory
"""

import contextlib
import errno
from collections.abc import Iterator

from jobs.kit.outcomes import Discard

MEMORY_MB = 1024
# Pillow has no error class of its own for this. Offsets beyond a file are invalid arguments.
_OF_THE_IMAGE = (None, errno.EINVAL)


class NoImage(Discard): ...


class ImageBroken(Discard): ...


class ImageTooLarge(Discard): ...


@contextlib.contextmanager
def blaming_image() -> Iterator[None]:
    """Blame the image for any error inside, which another attempt would meet again, but not for errors of the disk."""
    try:
        yield
    except Discard:
        raise
    except MemoryError as error:
        raise ImageTooLarge(f"the image takes more than the {MEMORY_MB:,} MB of memory that it may use") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in _OF_THE_IMAGE:
            raise
        raise ImageBroken(f"the image cannot be read: {str(error) or type(error).__name__}") from error
