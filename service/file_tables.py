"""The tables of files, and of the jobs that name them. The feature `files` owns them; the ledger records the uses."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, text

from service.tables import Moment

metadata = MetaData()

files = Table(
    "files",
    metadata,
    Column("id", String(36), primary_key=True, comment="its bytes lie in the storage under it"),
    Column("name", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("content_type", String(127), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("owner", String(255), comment="the principal who uploaded it"),
    Column("job_id", String(255), comment="the job that made it"),
    Column("attempt", Integer, comment="of that job"),
    Index("files_expiring", "expires_at"),
    Index(
        "files_of_job",
        "job_id",
        "name",
        sqlite_where=text("job_id IS NOT NULL"),
        postgresql_where=text("job_id IS NOT NULL"),
    ),
)

# A job that names a file in its args. The job's row says whether it may still run.
file_uses = Table(
    "file_uses",
    metadata,
    Column("file_id", String(36), primary_key=True),
    Column("job_id", String(255), primary_key=True),
    Index("file_uses_of_job", "job_id"),
)
