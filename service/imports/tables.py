"""How far imports are, and which rows were bad: kept beside the tables that the rows go into, in any database."""

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text

from service.tables import Moment

metadata = MetaData()

# Operators create them too, with the output of `postlude imports ddl`: their form is a promise.
imports = Table(
    "postlude_imports",
    metadata,
    Column("job_id", String(255), primary_key=True),
    Column("attempt", Integer, nullable=False, comment="the one that may go on; earlier ones write nothing more"),
    Column("form", Text, nullable=False, comment="what the first attempt found out about the file"),
    Column("rows_done", BigInteger, nullable=False, comment="records of the file that are dealt with"),
    Column("planned", Integer, nullable=False, comment="records of the batch that is on its way to a kind"),
    Column("inserted", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

import_errors = Table(
    "postlude_import_errors",
    metadata,
    Column("job_id", String(255), primary_key=True),
    Column("line", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("cells", Text, nullable=False, comment="the row, as a JSON list"),
)
