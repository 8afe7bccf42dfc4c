"""Whether anybody has written to a SQLite file. Checked ten times a second, so it must cost next to nothing."""

import sqlite3
from contextlib import suppress
from pathlib import Path


class FileWatch:
    """Asks over its own connection, on the loop, in 10 us; a read through the pool's thread takes 1 ms."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._version: tuple[int] | None = None

    def has_changed(self) -> bool:
        """Whether others have committed since the last call. True at the first call, and if that cannot be told."""
        try:
            if self._connection is None:
                uri = f"{self._path.absolute().as_uri()}?mode=rw"
                self._connection = sqlite3.connect(uri, uri=True, timeout=0, check_same_thread=False)
                self._version = None
            version: tuple[int] = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self.close()
            return True
        before, self._version = self._version, version
        return before != version

    def close(self) -> None:
        """Close the file: the next call opens whatever is in its place by then."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None
