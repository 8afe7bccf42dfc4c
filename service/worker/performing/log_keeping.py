"""Keeps what attempts log: taken from the log as it is written, bounded, and recorded a moment later.

An attempt that logs nothing costs nothing here. No line ever waits for the ledger or delays an attempt: if there is no
room for a line, it is dropped and counted.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence

from pydantic_core import to_json

from jobs import Catalogue
from service import agreed_time
from service.attempt_lines import AttemptLines, KeptLine, KeptLines, News, RawLine
from service.performing import Performing, performing
from service.worker.performing.log_record import read_record
from service.worker.performing.redaction import Redaction

# For the unrecorded lines of all attempts.
MOST_BYTES = 16 * 1024 * 1024


class LogKeeping(logging.Handler):
    """Hears everything logged in this process, and keeps the lines of attempts."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__()
        self.dropped = 0
        self._catalogue = catalogue
        self._open: dict[AttemptLines, tuple[Performing, Redaction]] = {}
        self._size_bytes = 0
        self.on_line: Callable[[], None] | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Start to hear the log."""
        root = logging.getLogger()
        root.addHandler(self)
        try:
            yield
        finally:
            root.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Add a line to its attempt's lines. Never raises."""
        attempt = performing.get()
        if attempt is None or attempt.is_over:
            return
        try:
            self._add(attempt, record)
            if self.on_line is not None:
                self.on_line()
        except Exception:  # noqa: BLE001 - a line may hold any object, and must not end its attempt
            self.drop()

    def _add(self, attempt: Performing, record: logging.LogRecord) -> None:
        line = read_record(record)
        lines = attempt.lines
        if lines is None:
            lines = attempt.lines = AttemptLines(self)
            self._open[lines] = (attempt, Redaction(self._catalogue.get(attempt.kind), attempt.args))
        if lines.keeper is not self:
            return
        before = lines.size_bytes
        if self._size_bytes + line.size > MOST_BYTES:
            self.drop()
            return
        lines.add(agreed_time.now(), *line)
        self._size_bytes += lines.size_bytes - before

    def drop(self, lines: int = 1) -> None:
        """Count lines that are not kept."""
        self.dropped += lines

    @property
    def has_any(self) -> bool:
        """Whether an attempt has logged anything, and is not forgotten yet."""
        return bool(self._open)

    def news(self) -> list[tuple[AttemptLines, News, KeptLines]]:
        """Return the lines to record, without secrets. Best called in a thread: there may be a lot to look through."""
        with self._held():
            new = [(lines, lines.news(), *of_it) for lines, of_it in self._open.items()]
        return [(lines, one, kept_lines(attempt, one, redaction)) for lines, one, attempt, redaction in new if any(one)]

    def note_kept(self, told: Sequence[tuple[AttemptLines, News, KeptLines]]) -> None:
        """Note that these lines were recorded. Ended attempts with nothing more to record are forgotten."""
        with self._held():
            for lines, news, _ in told:
                lines.note_kept(news)
            for lines, (attempt, _) in list(self._open.items()):
                if attempt.is_over and not any(lines.news()):
                    del self._open[lines]
            self._size_bytes = sum(lines.size_bytes for lines in self._open)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Keep others from adding lines. Uses the lock of `handle`, which logging replaces in a forked process."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def kept_lines(attempt: Performing, news: News, redaction: Redaction) -> KeptLines:
    """Write the lines of an attempt as they are kept."""
    return KeptLines(attempt.job_id, attempt.attempt, [_kept(line, redaction) for line in news.lines], news.left_out)


def _kept(line: RawLine, redaction: Redaction) -> KeptLine:
    names = to_json(redaction.value(line.names), inf_nan_mode="null").decode() if line.names else None
    return KeptLine(line.number, line.at, line.level, redaction(line.text, is_cut=line.is_cut), names)
