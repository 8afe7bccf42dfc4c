"""Who may do what: keys, users, and the trail of what operators did.

Revision: 0016
"""

import sqlalchemy as sa
from alembic import op

from service.tables import Moment

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("operations") as operations:
        operations.alter_column("principal", existing_type=sa.String(64), type_=sa.String(120), comment="who asked for it")
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("prefix", sa.String(16), nullable=False, comment="the part of the key that finds its row"),
        sa.Column("digest", sa.String(64), nullable=False, comment="SHA-256 of the key, which has 256 random bits"),
        sa.Column("old_digest", sa.String(64), comment="of the key before the last rotation"),
        sa.Column("old_until", Moment(), comment="so long the old one holds"),
        sa.Column("scopes", sa.Text(), nullable=False, comment="JSON list"),
        sa.Column("kinds", sa.Text(), comment="JSON list of names, and beginnings with *; null: all"),
        sa.Column("queues", sa.Text(), comment="JSON list; null: all"),
        sa.Column("sees_args", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("created_by", sa.String(120)),
        sa.Column("expires_at", Moment()),
        sa.Column("last_used_at", Moment(), comment="to the minute"),
        sa.Column("rotated_at", Moment()),
        sa.Column("revoked_at", Moment(), comment="the row stays: it names who did what"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("prefix"),
    )
    op.create_table(
        "users",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("password_hash", sa.Text(), comment="argon2; null: signs in elsewhere"),
        sa.Column("role", sa.String(8), nullable=False, comment="viewer, operator or admin"),
        sa.Column("sees_args", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("session_epoch", sa.Integer(), nullable=False, server_default="0", comment="grows when all sessions end"),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("last_seen_at", Moment()),
        sa.Column("disabled_at", Moment()),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "cookie_secrets",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="always 1"),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "ended_sessions",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kept_until", Moment(), nullable=False, comment="by then no cookie of it is good any more"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "trail",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("principal", sa.String(120), nullable=False),
        sa.Column("principal_name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("target_type", sa.String(20), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ending", sa.String(8), nullable=False, comment="done, refused, or unknown: nobody has noted how it ended"),
        sa.Column("before", sa.Text(), comment="JSON, without secrets"),
        sa.Column("after", sa.Text(), comment="JSON, without secrets"),
        sa.Column("refused", sa.Text(), comment="why nothing was done"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("trail_by_time", "trail", ["at", "id"])
    op.create_index("trail_by_target", "trail", ["target", "at", "id"])
    op.create_index("trail_by_principal", "trail", ["principal", "at", "id"])
    op.create_index("trail_by_action", "trail", ["action", "at", "id"])


def downgrade() -> None:
    for table in ("trail", "ended_sessions", "cookie_secrets", "users", "api_keys"):
        op.drop_table(table)
    op.execute(sa.text("UPDATE operations SET principal = NULL WHERE length(principal) > 64"))
    with op.batch_alter_table("operations") as operations:
        operations.alter_column("principal", existing_type=sa.String(120), type_=sa.String(64), comment="fingerprint of who asked for it")
