"""What the mail server said of each recipient, kept between the attempts of a mail.

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mail_recipients",
        sa.Column("job_id", sa.String(length=255), nullable=False),
        sa.Column("address", sa.String(length=400), nullable=False),
        sa.Column("word", sa.String(length=10), nullable=False, comment="accepted or refused"),
        sa.Column("answer", sa.Text(), nullable=False, comment="the server's, where it refused"),
        sa.PrimaryKeyConstraint("job_id", "address"),
    )


def downgrade() -> None:
    op.drop_table("mail_recipients")
