"""The `postlude` command as somebody can type it here."""

import os
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path

FIRST_KEY = "keys create admin --scope admin"
"""Arguments of the command that makes a key which can make the others."""

_DATA_DIR = "POSTLUDE_DATA_DIR"


def own_command() -> str:
    """Return the command's name or, if a shell would not find it, its path: `make dev` runs one that is on no PATH.

    Before it stands the data dir, if that is not ./var: else the command would act on another ledger.
    """
    try:
        return _data_dir() + _found()
    except OSError:  # the working folder is gone
        return "postlude"


def _data_dir() -> str:
    given = os.environ.get(_DATA_DIR, "").strip()
    folder = Path(given).expanduser().absolute()
    return "" if not given or folder == Path.cwd() / "var" else f"{_DATA_DIR}={_from_here(folder)} "


@cache
def _found() -> str:
    own = Path(sys.executable).with_name("postlude")
    found = shutil.which("postlude")
    if not own.exists() or (found is not None and own.samefile(found)):
        return "postlude"
    return _from_here(own)


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
