"""The audit log, and where it ends. Triggers keep entries from being changed or deleted by mistake."""

from sqlalchemy import DDL, BigInteger, Column, Index, Integer, MetaData, String, Table, Text, event

from service.audit_log.chain import GENESIS
from service.tables import Moment

metadata = MetaData()

# Every writer locks this row, so that entries are numbered and chained in the order of their commits.
audit_log_head = Table(
    "audit_log_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="1: there is one row"),
    Column("seq", BigInteger, nullable=False, comment="of the latest entry; 0: there is none"),
    Column("hash", String(64), nullable=False, comment="of the latest entry"),
    Column("pruned_through", BigInteger, nullable=False, comment="entries up to this one may be deleted"),
)

audit_log = Table(
    "audit_log",
    metadata,
    # An INTEGER on SQLite, which takes no other type of value.
    Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("action", String(255), nullable=False),
    Column("target", String(255)),
    Column("origin", Text, comment="JSON"),
    Column("data", Text, comment="JSON"),
    Column("job_id", String(255), unique=True, comment="null: the log notes something of itself"),
    Column("key_id", String(8), comment="the key of the hash; null: it has none"),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_log_at", "at", "seq"),
    Index("audit_log_actor", "actor", "at", "seq"),
    Index("audit_log_action", "action", "at", "seq"),
    Index("audit_log_target", "target", "at", "seq"),
)

_BEGIN = "INSERT INTO audit_log_head (id, seq, hash, pruned_through) VALUES (1, 0, '%(genesis)s', 0)"
_WORDS = {"genesis": GENESIS, "refusal": "the audit log is append-only: see docs/audit-log.md"}
_ON_POSTGRES = (
    """
CREATE OR REPLACE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
IF TG_OP = 'DELETE' AND OLD.seq <= (SELECT pruned_through FROM audit_log_head WHERE id = 1) THEN RETURN OLD; END IF;
RAISE EXCEPTION '%(refusal)s';
END $$
""",
    """
CREATE OR REPLACE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
FOR EACH ROW EXECUTE FUNCTION audit_log_refuse()
""",
    """
CREATE OR REPLACE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()
""",
)
_ON_SQLITE = (
    """
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log BEGIN SELECT RAISE(ABORT, '%(refusal)s'); END
""",
    """
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
WHEN OLD.seq > (SELECT pruned_through FROM audit_log_head WHERE id = 1)
BEGIN SELECT RAISE(ABORT, '%(refusal)s'); END
""",
    # INSERT OR REPLACE deletes without a trigger.
    """
CREATE TRIGGER audit_log_no_replace BEFORE INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE seq = NEW.seq OR job_id = NEW.job_id)
BEGIN SELECT RAISE(ABORT, '%(refusal)s'); END
""",
)


def _then(table: Table, statement: str, dialect: str | None = None) -> None:
    """Execute the statement after the table has been created."""
    ddl = DDL(statement, context=_WORDS)  # type: ignore[no-untyped-call]
    event.listen(table, "after_create", ddl if dialect is None else ddl.execute_if(dialect=dialect))


_then(audit_log_head, _BEGIN)
for _dialect, _statements in (("postgresql", _ON_POSTGRES), ("sqlite", _ON_SQLITE)):
    for _statement in _statements:
        _then(audit_log, _statement, _dialect)
