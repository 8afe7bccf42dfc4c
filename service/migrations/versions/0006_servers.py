"""Where readiness tries a write, and how many slots a worker has: what it has started beyond them does not run yet.

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

from service.tables import Moment

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "write_probe",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="always 1: readiness tries to write it"),
        sa.Column("written_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.add_column(
        "workers",
        sa.Column("slots", sa.Integer(), comment="how many jobs it runs at once; null: an older version did not say"))


def downgrade() -> None:
    op.drop_column("workers", "slots")
    op.drop_table("write_probe")
