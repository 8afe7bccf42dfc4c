"""Edges are kept by their parents and found by their children; no index hears any more that one was decided.

Revision: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_OPEN = sa.text("(state || '') = 'open'")


def upgrade() -> None:
    op.drop_index("job_edges_open", "job_edges")
    if op.get_bind().dialect.name == "sqlite":
        _rebuild(with_rowid=False)
    else:
        op.execute("ALTER TABLE job_edges SET (fillfactor = 50)")


def _rebuild(*, with_rowid: bool) -> None:
    """SQLite cannot change how a table is kept."""
    op.drop_index("job_edges_by_child", "job_edges")
    op.rename_table("job_edges", "job_edges_before")
    op.create_table(
        "job_edges",
        sa.Column("parent", sa.String(255), nullable=False),
        sa.Column("child", sa.String(255), nullable=False),
        sa.Column("run_when", sa.String(9), nullable=False, comment="succeeded, ended or attempted"),
        sa.Column("state", sa.String(6), nullable=False, comment="open, met or broken"),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False, comment="among the parents that the child named"),
        sa.PrimaryKeyConstraint("parent", "child"),
        sqlite_with_rowid=with_rowid,
    )
    op.execute(
        "INSERT INTO job_edges (parent, child, run_when, state, position)"
        " SELECT parent, child, run_when, state, position FROM job_edges_before ORDER BY parent, child"
    )
    op.drop_table("job_edges_before")
    op.create_index("job_edges_by_child", "job_edges", ["child"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rebuild(with_rowid=True)
    else:
        op.execute("ALTER TABLE job_edges RESET (fillfactor)")
    op.create_index("job_edges_open", "job_edges", ["parent", "child"], postgresql_where=_OPEN, sqlite_where=_OPEN)
