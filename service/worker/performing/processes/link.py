"""A child's end of the socket to its worker: attempts come in, and calls of the context go out and are answered."""

import itertools
import os
import pickle
import socket
import threading
from typing import Any

from jobs.kit.thread_context import AttemptOver
from service.worker.performing.processes.messages import (
    LENGTH_BYTES,
    Answer,
    Ask,
    Done,
    Handed,
    Message,
    framed,
    length_of,
    read,
)


class Link:
    """Reads and writes for any thread of the child, one exchange at a time."""

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._numbers = itertools.count()
        self._current: Handed | None = None

    def receive(self) -> Message:
        """Wait for the next message. Raises `SystemExit` when the worker wants nothing more."""
        head = self._read(LENGTH_BYTES)
        return read(self._read(length_of(head)))

    def next_attempt(self) -> Handed:
        """Wait for the next attempt."""
        with self._lock:
            while not isinstance(message := self.receive(), Handed):
                pass
            self._current = message
            return message

    def send(self, message: Message) -> None:
        with self._sending:
            self._worker.sendall(framed(message))

    def end_attempt(self, done: Done) -> None:
        """Tell how the attempt ended; from now on nobody may ask for anything in its name."""
        if os.getpid() != self._pid:
            os._exit(0)  # a copy of this process, by a kind that forked: only the original speaks
        with self._lock:
            self._current = None
            self.send(done)

    def ask(self, attempt: Handed, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Have the worker carry out a call of the context; return what it returned, or raise what it raised."""
        with self._lock:
            if attempt is not self._current:
                raise AttemptOver(f"ctx.{name} was called after the attempt had ended")
            asked = Ask(next(self._numbers), name, pickle.dumps((args, options)))
            self.send(asked)
            while not (isinstance(message := self.receive(), Answer) and message.number == asked.number):
                pass
        if message.error is not None:
            raise message.error
        return message.value

    def _read(self, size: int) -> bytes:
        read_so_far = bytearray()
        while len(read_so_far) < size:
            if not (more := self._worker.recv(min(size - len(read_so_far), 1 << 20))):
                raise SystemExit(0)  # the worker ends, or wants this child no longer
            read_so_far += more
        return bytes(read_so_far)
