"""Sends the lines that an attempt in a child process logs to its worker, which records them."""

import contextlib
import os
import threading
import time

from service.worker.performing.log_keeping import LogKeeping
from service.worker.performing.processes.link import Link
from service.worker.performing.processes.messages import Said

# How long lines wait for more lines to go with them.
_GATHER_S = 0.05


class LogSender:
    """A thread that sends lines soon after they were logged, for as long as the process lives."""

    def __init__(self, keeping: LogKeeping, link: Link) -> None:
        self._keeping = keeping
        self._link = link
        self._pid = os.getpid()
        self._sending = threading.Lock()
        keeping.on_line = self._start

    def _start(self) -> None:
        """Start with the first line: most children never log any."""
        self._keeping.on_line = None
        threading.Thread(target=self._send_on, name="log", daemon=True).start()

    def _send_on(self) -> None:
        while True:
            time.sleep(_GATHER_S)
            with contextlib.suppress(OSError):
                self.send()

    def send(self) -> None:
        """Send the lines logged since the last time."""
        if not self._keeping.has_any or os.getpid() != self._pid:
            return  # a copy of this process, made by a kind that forked, must not send
        with self._sending:
            told = self._keeping.news()
            for _, _, kept in told:
                self._link.send(Said(kept))
            self._keeping.note_kept(told)
