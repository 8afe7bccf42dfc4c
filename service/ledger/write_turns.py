"""Turns at writing to a SQLite file: within a process, writers queue for its one write lock instead of fighting for it.

The ledger's writer, the heartbeat's and the connection of jobs all write, each from a thread of its own. A writer that
finds the lock taken can only ask again and again; a writer that is woken by its turn asks once. Between processes,
asking is the only way.
"""

import threading
from collections import deque
from concurrent.futures import Future
from weakref import WeakValueDictionary


class WriteTurns:
    """First come, first served; a turn is a future, for threads and event loops alike."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: deque[Future[None]] = deque()

    def ask(self) -> Future[None]:
        """Return a turn, a future that is done when the turn comes. The caller must `leave` it."""
        turn: Future[None] = Future()
        with self._lock:
            if self._is_taken:
                self._waiting.append(turn)
            else:
                self._is_taken = True
                turn.set_result(None)
        return turn

    def leave(self, turn: Future[None]) -> None:
        """End a turn that has come, or wait for it no longer."""
        if not turn.cancel():
            with self._lock:
                self._is_taken = self._wake_next()

    def _wake_next(self) -> bool:
        while self._waiting:
            turn = self._waiting.popleft()
            if turn.set_running_or_notify_cancel():
                turn.set_result(None)
                return True
        return False


# Weak: the engines over a file keep its turns.
_by_file: WeakValueDictionary[str, WriteTurns] = WeakValueDictionary()
_by_file_lock = threading.Lock()


def turns_at(path: str) -> WriteTurns:
    """Return this process' turns at writing to the file."""
    with _by_file_lock:
        turns = _by_file.get(path)
        if turns is None:
            turns = _by_file[path] = WriteTurns()
        return turns
