"""Ids are UUIDv7s in the order in which they are made."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

import pytest

from postlude.ids import IdMaker, id_of, new_id


def test_an_id_is_a_uuid7_of_now() -> None:
    made = UUID(new_id())
    assert (made.variant, made.int >> 76 & 0xF) == (RFC_4122, 7)
    assert abs((made.int >> 80) / 1000 - time.time()) < 60


def test_ids_of_all_threads_are_different_and_grow() -> None:
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(lambda _: [new_id() for _ in range(5_000)], range(4)))
    assert all(run == sorted(run) for run in runs)
    assert len({one for run in runs for one in run}) == 20_000


def test_ids_grow_though_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = IdMaker()
    first = ids.make()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    assert first < ids.make() < ids.make()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .*is multi-threaded:DeprecationWarning")
def test_a_forked_process_makes_ids_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)  # the same millisecond
    new_id()
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.write(writing, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 36).decode() != new_id()


def test_what_has_no_id_is_refused_with_what_to_pass() -> None:
    assert id_of("a") == "a"
    with pytest.raises(TypeError, match="'NoneType' is no job: pass the job, or its id as a text"):
        id_of(None)
    with pytest.raises(ValueError, match="The id of the file is empty"):
        id_of("", "file")
