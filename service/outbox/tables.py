"""The outbox itself, in the ledger's database or another, and what the ledger knows of outboxes elsewhere."""

from typing import Any

from sqlalchemy import DDL, BigInteger, Column, DateTime, MetaData, String, Table, Text, event
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from service.tables import Moment

CHANNEL = "postlude_outbox"
TRIGGER = "postlude_outbox_announce"
metadata = MetaData()


class _Now(FunctionElement[Any]):
    """The time of the insertion by the database's clock; on SQLite an RFC 3339 text."""

    inherit_cache = True


@compiles(_Now)
def _now(_element: _Now, _compiler: Any, **_options: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(_Now, "sqlite")
def _now_on_sqlite(_element: _Now, _compiler: Any, **_options: Any) -> str:
    return "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"


# Applications create it too, with `postlude.outbox.table` or by hand: its form is a promise.
outbox = Table(
    "postlude_outbox",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("args", Text, nullable=False),
    Column("options", Text, nullable=False, server_default="{}"),
    Column("created_at", DateTime(timezone=True).with_variant(Text(), "sqlite"), nullable=False, server_default=_Now()),
)
_ANNOUNCE = """
CREATE OR REPLACE FUNCTION postlude_outbox_announce() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('postlude_outbox', ''); RETURN NULL; END $$
"""
_ANNOUNCES = """
CREATE OR REPLACE TRIGGER postlude_outbox_announce AFTER INSERT ON postlude_outbox
FOR EACH STATEMENT EXECUTE FUNCTION postlude_outbox_announce()
"""
for _statement in (_ANNOUNCE, _ANNOUNCES):
    event.listen(outbox, "after_create", DDL(_statement).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]

outboxes = Table(
    "outboxes",
    metadata,
    Column("name", String(255), primary_key=True, comment="of the database, without a secret"),
    Column("waiting", BigInteger, nullable=False, comment="rows, when they were counted last"),
    Column("oldest_at", Moment, comment="when the oldest of them was written; null: there is none"),
    Column("problem", Text, comment="why its rows are not taken; null: they are"),
    Column("problem_since", Moment),
)
