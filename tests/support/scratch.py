"""Where the tests write their files: in memory, where that has room, for disks take longer than most tests."""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
# Some hundred megabytes are in use at a time. A container has 64 MB by default, and a small machine too little.
_ROOM = 4 * 1024**3


def scratch() -> Path:
    """Return the folder in which to make temporary folders. Programs can be run there."""
    runs_programs = _MEMORY.is_dir() and not os.statvfs(_MEMORY).f_flag & getattr(os, "ST_NOEXEC", 0)
    if runs_programs and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM:
        return _MEMORY
    return Path(tempfile.gettempdir())
