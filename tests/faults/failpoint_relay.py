"""A worker that dies as if by `kill -9` at the point FAILPOINT names, around the move of rows from an outbox."""

import os
from collections.abc import Callable
from importlib import import_module
from signal import SIGKILL
from types import ModuleType
from typing import Any

from arq.cli import cli as arq

FAILPOINT = "FAULTS_FAILPOINT"


def _die(*_args: Any, **_options: Any) -> None:
    os.kill(os.getpid(), SIGKILL)


def before_rows_are_recorded(relay: ModuleType) -> None:
    relay.Relay._record = _die


def between_commit_and_delete(relay: ModuleType) -> None:
    relay.Relay._delete = _die


def before_the_delete_commits(relay: ModuleType) -> None:
    real = relay.delete_rows

    def dies(*args: Any, **options: Any) -> None:
        real(*args, **options)
        _die()

    vars(relay)["delete_rows"] = dies


def after_the_delete(relay: ModuleType) -> None:
    relay.Relay._forget_what_is_gone = _die


FAILPOINTS: dict[str, Callable[[ModuleType], None]] = {
    one.__name__: one
    for one in (before_rows_are_recorded, between_commit_and_delete, before_the_delete_commits, after_the_delete)
}

if __name__ == "__main__":
    FAILPOINTS[os.environ[FAILPOINT]](import_module("service.outbox.relay"))
    arq.main(args=["worker_settings.WorkerSettings"], prog_name="arq")
