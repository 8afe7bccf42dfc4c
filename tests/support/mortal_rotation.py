"""`postlude secrets rotate`, which dies as if by `kill -9` in the middle of its third transaction."""

import os
from signal import SIGKILL
from typing import Any

from service.cli import main
from service.ledger import rotation
from service.ledger.records.resealed import record_resealed

_real = record_resealed
_calls = 0


def _dies(*args: Any, **options: Any) -> Any:
    global _calls
    _calls += 1
    told = _real(*args, **options)
    if _calls == 3:
        os.kill(os.getpid(), SIGKILL)
    return told


if __name__ == "__main__":
    vars(rotation)["record_resealed"] = _dies
    main()
