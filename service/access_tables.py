"""The tables of who may do what: keys, users, and the trail of what operators did."""

from sqlalchemy import Column, Index, Integer, String, Table, Text

from service.tables import Moment, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("prefix", String(16), nullable=False, unique=True, comment="the part of the key that finds its row"),
    Column("digest", String(64), nullable=False, comment="SHA-256 of the key, which has 256 random bits"),
    Column("old_digest", String(64), comment="of the key before the last rotation"),
    Column("old_until", Moment, comment="so long the old one holds"),
    Column("scopes", Text, nullable=False, comment="JSON list"),
    Column("kinds", Text, comment="JSON list of names, and beginnings with *; null: all"),
    Column("queues", Text, comment="JSON list; null: all"),
    Column("sees_args", Integer, nullable=False, server_default="1"),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(120)),
    Column("expires_at", Moment),
    Column("last_used_at", Moment, comment="to the minute"),
    Column("rotated_at", Moment),
    Column("revoked_at", Moment, comment="the row stays: it names who did what"),
)

users = Table(
    "users",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("password_hash", Text, comment="argon2; null: signs in elsewhere"),
    Column("role", String(8), nullable=False, comment="viewer, operator or admin"),
    Column("sees_args", Integer, nullable=False, server_default="1"),
    Column("session_epoch", Integer, nullable=False, server_default="0", comment="grows when all sessions end"),
    Column("created_at", Moment, nullable=False),
    Column("last_seen_at", Moment),
    Column("disabled_at", Moment),
)

cookie_secrets = Table(  # what signs cookies: one for all processes
    "cookie_secrets",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1"),
    Column("secret", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)

ended_sessions = Table(  # cookies that still look good, but whose bearer has signed out
    "ended_sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kept_until", Moment, nullable=False, comment="by then no cookie of it is good any more"),
)

trail = Table(  # what operators did
    "trail",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("principal", String(120), nullable=False),
    Column("principal_name", Text, nullable=False),
    Column("address", Text),
    Column("action", String(50), nullable=False),
    Column("target_type", String(20), nullable=False),
    Column("target", Text, nullable=False),
    Column("ending", String(8), nullable=False, comment="done, refused, or unknown: nobody has noted how it ended"),
    Column("before", Text, comment="JSON, without secrets"),
    Column("after", Text, comment="JSON, without secrets"),
    Column("refused", Text, comment="why nothing was done"),
    Index("trail_by_time", "at", "id"),
    Index("trail_by_target", "target", "at", "id"),
    Index("trail_by_principal", "principal", "at", "id"),
    Index("trail_by_action", "action", "at", "id"),
)
