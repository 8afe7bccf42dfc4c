"""A connection that does not return to its pool leaves nothing of a transaction behind."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from service.ledger.engines import sqlite_thread_engine, sqlite_thread_reader
from service.ledger.kept_connection import KeptConnection
from service.ledger.write_turns import WriteTurns, turns_at

INSERT = text("INSERT INTO notes VALUES ('kept')")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "notes.db"
    make(path)
    return path


@pytest.fixture(params=[sqlite_thread_engine, sqlite_thread_reader])
def engine(request: pytest.FixtureRequest, path: Path) -> Engine:
    made: Engine = request.param(f"sqlite+aiosqlite:///{path}")
    return made


@pytest.fixture
def kept(engine: Engine) -> Iterator[KeptConnection]:
    kept = KeptConnection(engine)
    yield kept
    kept.close()


@pytest.fixture
def writer(path: Path) -> Iterator[KeptConnection]:
    kept = KeptConnection(sqlite_thread_engine(f"sqlite+aiosqlite:///{path}"))
    yield kept
    kept.close()


def make(path: Path) -> None:
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE notes (note TEXT)")
    made.close()


def run(kept: KeptConnection, act: Callable[[Connection], Any]) -> Any:
    with kept as connection, connection.begin():
        return act(connection)


def read(kept: KeptConnection, act: Callable[[Connection], Any]) -> Any:
    with kept as connection:
        return act(connection)


def is_nobodys(turns: WriteTurns) -> bool:
    turn = turns.ask()
    try:
        return turn.done()
    finally:
        turns.leave(turn)


def insert(connection: Connection) -> None:
    connection.execute(INSERT)


def count(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM notes")).scalar_one())


def fail(connection: Connection) -> None:
    connection.execute(INSERT)
    raise ZeroDivisionError


def test_many_transactions_take_one_connection_from_the_pool(engine: Engine, kept: KeptConnection) -> None:
    taken: list[Any] = []
    event.listen(engine, "checkout", lambda connection, *_: taken.append(connection))
    for _ in range(3):
        run(kept, count)
    assert len(taken) == 1


def test_between_transactions_there_is_neither_a_turn_nor_a_lock(path: Path, writer: KeptConnection) -> None:
    for _ in range(2):
        run(writer, insert)
        assert is_nobodys(turns_at(str(path)))
        other = sqlite3.connect(path, timeout=0)
        other.execute("BEGIN IMMEDIATE").close()
        other.close()


def test_between_transactions_the_log_can_be_emptied(path: Path, writer: KeptConnection, kept: KeptConnection) -> None:
    read(kept, count)
    run(writer, insert)
    read(kept, count)
    other = sqlite3.connect(path, timeout=0)
    assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    other.close()


def test_an_error_rolls_back_and_ends_the_turn(path: Path, writer: KeptConnection) -> None:
    run(writer, insert)
    with pytest.raises(ZeroDivisionError):
        run(writer, fail)
    assert is_nobodys(turns_at(str(path)))
    assert run(writer, count) == 1


def test_each_read_sees_what_was_committed_before_it(writer: KeptConnection, kept: KeptConnection) -> None:
    for number in range(3):
        assert read(kept, count) == number
        run(writer, insert)


def test_after_an_error_it_goes_on(writer: KeptConnection) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            run(writer, fail)
        run(writer, insert)
    assert run(writer, count) == 2


def test_a_connection_that_was_invalidated_is_not_used_again(kept: KeptConnection) -> None:
    def lose(connection: Connection) -> None:
        connection.invalidate()
        raise ConnectionError

    run(kept, count)
    with pytest.raises(ConnectionError):
        run(kept, lose)
    assert run(kept, count) == 0


def test_a_file_that_took_the_place_of_another_is_found(path: Path, writer: KeptConnection) -> None:
    run(writer, insert)
    path.rename(path.with_name("old.db"))
    make(path)
    assert run(writer, count) == 0
    run(writer, insert)
    path.with_name("old.db").rename(path)
    assert run(writer, count) == 1


def test_a_file_that_is_not_ours_is_not_made_again_once_it_was_deleted(path: Path) -> None:
    guest = KeptConnection(sqlite_thread_engine(f"sqlite+aiosqlite:///{path}", is_ours=False))
    run(guest, insert)
    path.unlink()
    with pytest.raises(OperationalError, match="unable to open"):
        run(guest, insert)
    assert not path.exists()
    make(path)
    run(guest, insert)
    assert run(guest, count) == 1
    guest.close()


def test_options_do_not_outlive_their_transaction(kept: KeptConnection) -> None:
    run(kept, lambda connection: connection.execution_options(own="option"))
    assert "own" not in run(kept, lambda connection: connection.get_execution_options())


def test_options_that_its_engine_is_given_are_heard_of(engine: Engine, kept: KeptConnection) -> None:
    run(kept, count)
    engine.update_execution_options(given="option")
    assert "given" in run(kept, lambda connection: connection.get_execution_options())


def test_a_closed_one_lets_go_of_the_file(path: Path, writer: KeptConnection) -> None:
    run(writer, insert)
    log = path.with_name("notes.db-wal")
    assert log.exists()
    writer.close()
    assert not log.exists()


def test_a_commit_that_waits_for_a_reader_in_vain_leaves_no_lock_on_a_guests_file(path: Path) -> None:
    guest = KeptConnection(sqlite_thread_engine(f"sqlite+aiosqlite:///{path}", is_ours=False))

    def write() -> None:
        with guest as connection, connection.begin() as transaction:
            insert(connection)
            transaction.commit()

    write()
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM notes").fetchall()
        with pytest.raises(OperationalError, match="locked"):
            write()
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    write()
    assert run(guest, count) == 2
    guest.close()
