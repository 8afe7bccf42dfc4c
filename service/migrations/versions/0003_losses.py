"""Which attempts may not have begun when their worker dies, and how many threads hang in a worker.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


_PREFETCHED = "1: started before it had a slot"
_HUNG = "go on although nobody waits for them"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("prefetched", sa.Integer(), nullable=False, server_default="0", comment=_PREFETCHED))
    op.add_column("workers", sa.Column("hung_threads", sa.Integer(), nullable=False, server_default="0", comment=_HUNG))


def downgrade() -> None:
    op.drop_column("workers", "hung_threads")
    op.drop_column("jobs", "prefetched")
