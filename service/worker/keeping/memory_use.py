"""The resident memory of this process."""

import os
import sys
from pathlib import Path

_STATM = Path("/proc/self/statm")


def resident_bytes() -> int | None:
    """Return the resident memory now; None if the system does not tell, for example because no more files can be
    opened.

    The heartbeat reports it, and must go on without it.
    """
    if sys.platform != "linux":
        return None
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
