"""A thread's connection to SQLite, kept between its transactions.

To check a connection out of SQLAlchemy's pool and in again costs more than an empty transaction.
"""

from sqlalchemy import Connection, Engine

from service.ledger.engines import end_turn, has_lost_its_file


class KeptConnection:
    """The one connection over `engine`, for one transaction in each `with`.

    It sees to what the pool would: the transaction is over and its turn at writing ended, and a file that was replaced
    is let go. A connection that failed, or that was given options, goes through the pool, which resets it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def __enter__(self) -> Connection:
        if self._connection is not None and not self._is_as_new(self._connection):
            self._give_back()
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def __exit__(self, error: object, *_: object) -> None:
        if error is not None or self._connection is None:
            return self._give_back()
        try:
            self._connection.rollback()  # a transaction that only reads was not committed
            end_turn(self._connection)
        except BaseException:
            self._give_back()
            raise

    def close(self) -> None:
        """Close the connection; another `with` would make a new one."""
        self._give_back()
        self._engine.dispose()

    def _is_as_new(self, connection: Connection) -> bool:
        has_own_options = connection.get_execution_options() is not self._engine.get_execution_options()
        return not has_own_options and not has_lost_its_file(connection)

    def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
