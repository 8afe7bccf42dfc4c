"""Labels: what jobs count as in the place of their kind.

Revision: 0013
"""

import sqlalchemy as sa
from alembic import op

from service.ledger.later_indexes import create_later

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_COMMENT = "what jobs count as: their label, or else their kind"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("label", sa.String(255), comment="what it counts as in the place of its kind; null: as its kind"))
    op.add_column("job_listing", sa.Column("label", sa.String(255)))
    create_later("job_listing_by_label", "job_listing", ["label", "created_at", "job_id"], "label IS NOT NULL")
    with op.batch_alter_table("tallies") as tallies:
        tallies.alter_column("kind", existing_type=sa.String(100), type_=sa.String(255), existing_nullable=False, comment=_COMMENT)


def downgrade() -> None:
    op.drop_index("job_listing_by_label", "job_listing")
    op.drop_column("job_listing", "label")
    op.drop_column("jobs", "label")
    op.execute(sa.text("DELETE FROM tallies WHERE length(kind) > 100"))
    with op.batch_alter_table("tallies") as tallies:
        tallies.alter_column("kind", existing_type=sa.String(255), type_=sa.String(100), existing_nullable=False, comment=None)
