"""The trace that a job belongs to, and free metadata of whoever enqueued it.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COLUMNS = {
    "trace_context": "JSON: W3C traceparent and tracestate; null: enqueued outside of any trace",
    "metadata": "JSON object as it was sent; null: none",
}


def upgrade() -> None:
    for name, comment in _COLUMNS.items():
        op.add_column("jobs", sa.Column(name, sa.Text(), comment=comment))


def downgrade() -> None:
    for name in reversed(_COLUMNS):
        op.drop_column("jobs", name)
