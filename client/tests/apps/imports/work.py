import csv
import hashlib
import logging
import threading
from enum import Enum
from pathlib import Path
from uuid import UUID

logger = logging.getLogger(__name__)


class Status(Enum):
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


statuses: dict[UUID, Status] = {}
threads: set[str] = set()


def read_csv(upload_id: UUID, path: Path, delimiter: str = ",") -> None:
    threads.add(threading.current_thread().name)
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter=delimiter))
    except (OSError, csv.Error) as error:
        statuses[upload_id] = Status.FAILED
        logger.error("upload %s: %s", upload_id, error)
    else:
        statuses[upload_id] = Status.DONE if rows else Status.FAILED
        logger.info("upload %s: %s rows", upload_id, len(rows))


def keep(content: bytes, to: Path) -> str:
    to.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)
