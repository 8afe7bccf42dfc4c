"""How much memory this process has resident."""

import os
import sys
from pathlib import Path

_STATM = Path("/proc/self/statm")


def resident_bytes() -> int | None:
    """Return what is resident now; None where the system does not tell, as when it has no file left to open.

    The heartbeat tells it, and must go on without.
    """
    if sys.platform != "linux":
        return None
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
