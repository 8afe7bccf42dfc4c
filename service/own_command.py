"""The `postlude` command as somebody can type it here."""

import shlex
import shutil
import sys
from functools import cache
from pathlib import Path


@cache
def own_command() -> str:
    """Return the command's name or, if a shell would not find it, its path: `make dev` runs one that is on no PATH."""
    try:
        return _found()
    except OSError:  # the working folder is gone
        return "postlude"


def _found() -> str:
    own = Path(sys.executable).with_name("postlude")
    found = shutil.which("postlude")
    if not own.exists() or (found is not None and own.samefile(found)):
        return "postlude"
    here = Path.cwd()
    return shlex.quote(str(own.relative_to(here) if own.is_relative_to(here) else own))
