"""Schedules made at run time; ticks that were not fired, with the reason.

Revision: 0011
"""

import sqlalchemy as sa
from alembic import op

from service.tables import Moment

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(100).with_variant(sa.String(100, collation="C"), "postgresql"), nullable=False, comment="a kind's own has the kind's name"),
        sa.Column("kind", sa.String(100), comment="null: a kind's own, of which only the pause is kept here"),
        sa.Column("args", sa.Text(), comment="JSON as shown to readers: secrets masked"),
        sa.Column("sealed_args", sa.Text(), comment="JSON with the secrets, where the kind has any"),
        sa.Column("options", sa.Text(), server_default="{}", nullable=False, comment="JSON: options of its jobs"),
        sa.Column("cron", sa.Text()),
        sa.Column("time_zone", sa.String(100), server_default="UTC", nullable=False),
        sa.Column("catch_up", sa.String(4), server_default="last", nullable=False),
        sa.Column("overlap", sa.String(7), server_default="allow", nullable=False),
        sa.Column("jitter_s", sa.Double(), server_default="0", nullable=False),
        sa.Column("start_at", Moment()),
        sa.Column("end_at", Moment()),
        sa.Column("paused", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_job_id", sa.String(255), comment="of its latest tick that fired"),
        sa.Column("since", Moment(), comment="ticks up to then have been dealt with"),
        sa.Column("revision", sa.BigInteger(), server_default="1", nullable=False, comment="grows with each change by a user"),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    with op.batch_alter_table("ticks") as ticks:
        ticks.alter_column("kind", existing_type=sa.String(100), existing_nullable=False, comment="the schedule's name: a kind's, or one made at run time")
        ticks.alter_column("cron", existing_type=sa.Text(), existing_nullable=False, comment="the schedule's expression at that time")
        ticks.alter_column("job_id", existing_type=sa.String(255), nullable=True, comment="null: it was not fired")
        ticks.add_column(sa.Column("outcome", sa.String(7), server_default="fired", nullable=False, comment="fired, skipped or missed"))
        ticks.add_column(sa.Column("reason", sa.Text(), comment="why it was not fired, or what fired it out of turn"))


def downgrade() -> None:
    op.execute("DELETE FROM ticks WHERE job_id IS NULL")
    with op.batch_alter_table("ticks") as ticks:
        ticks.drop_column("reason")
        ticks.drop_column("outcome")
        ticks.alter_column("job_id", existing_type=sa.String(255), nullable=False, comment=None)
        ticks.alter_column("cron", existing_type=sa.Text(), existing_nullable=False, comment="the kind's expression at that time")
        ticks.alter_column("kind", existing_type=sa.String(100), existing_nullable=False, comment=None)
    op.drop_table("schedules")
