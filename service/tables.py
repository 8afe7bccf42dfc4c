"""The ledger's tables. Their indexes serve the statements in `service/ledger`."""

from collections.abc import Callable
from datetime import MAXYEAR, UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Sequence,
    String,
    Table,
    Text,
    TextClause,
    TypeDecorator,
    text,
)
from sqlalchemy.types import TypeEngine

# No foreign keys: each would lock a job's row once more for every attempt. `purge.py` deletes what belongs together.
metadata = MetaData()

_INSTANT = timedelta(microseconds=1)
_FIRST_STORABLE = datetime.min.replace(tzinfo=UTC) + _INSTANT
_LAST_STORABLE = datetime.max.replace(tzinfo=UTC) - _INSTANT


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime: `timestamptz` on Postgres, RFC 3339 text of fixed width (so it sorts) on SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        return moment_text(value) if dialect.name == "sqlite" else storable(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        return _moment_of_text if dialect.name == "sqlite" else None  # asyncpg returns UTC


def storable(value: datetime) -> datetime:
    """Move the first and the last moment of the calendar, "never" to many programs, by a microsecond.

    asyncpg sends these two as -infinity and infinity, and reads infinities as times without a zone.
    """
    return value if 1 < value.year < MAXYEAR else min(max(value, _FIRST_STORABLE), _LAST_STORABLE)


def _moment_of_text(value: str | None) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(value)
    # Earlier versions wrote when an operation was started without its zone, which was UTC.
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@lru_cache(maxsize=256)  # the jobs of a batch share one
def moment_text(value: datetime) -> str:
    """Write `value` as SQLite stores it, and as Postgres reads it: 2026-01-31T12:00:00.000000Z."""
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:-6] + "Z"


# The partial indexes below serve statements that repeat exactly these words, as `found_by_state` does. `|| ''` keeps
# SQLite from the index on state, which it prefers although it then walks through all waiting jobs.
WAITING_SQL = "(state || '') IN ('scheduled', 'queued', 'retrying')"
LIVE_SQL = "state IN ('scheduled', 'blocked', 'queued', 'retrying', 'running')"
TERMINAL_SQL = "(state || '') IN ('succeeded', 'failed', 'cancelled')"
RUNNING_SQL = "(state || '') = 'running'"
EXPIRING_SQL = "(state || '') IN ('scheduled', 'blocked', 'queued', 'retrying')"
# A blocked job holds up nobody in its lanes: it takes its place in their order when it is released.
LIVE_IN_LANE_SQL = "(state || '') IN ('scheduled', 'queued', 'retrying', 'running')"


def partial_index(name: str, *columns: str | TextClause, where: str) -> Index:
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))


# Keys of lanes are listed in byte order, as SQLite and Python sort, in any database.
LaneKey = String(255).with_variant(String(255, collation="C"), "postgresql")

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("kind", String(100), nullable=False),
    Column("state", String(10), nullable=False),
    Column("queue", String(100), nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("args", Text, nullable=False, comment="JSON as shown to readers: secrets masked"),
    Column("sealed_args", Text, comment="JSON with the secrets, where the kind has any"),
    Column("result", Text, comment="JSON"),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("attempt", Integer, nullable=False, server_default="0", comment="the fence: number of the latest attempt"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("max_attempts", Integer, nullable=False),
    Column("timeout_s", Double, comment="null: the kind's"),
    Column("progress_done", Integer),
    Column("progress_total", Integer),
    Column("tags", Text, nullable=False, server_default="[]", comment="JSON list of text"),
    Column("unique_key", String(255)),
    Column("arq_id", String(255), comment="adopted from a plain arq client: the id it knows the job by"),
    Column("worker", String(64), comment="who runs it, or ran it last"),
    Column("prefetched", Integer, nullable=False, server_default="0", comment="1: started before it had a slot"),
    Column("cancel_requested_at", Moment),
    Column("dispatch_epoch", String(64), nullable=False, server_default="", comment="'': not known to be on the queue"),
    Column("run_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("trace_context", Text, comment="JSON: W3C traceparent and tracestate; null: enqueued outside of any trace"),
    Column("metadata", Text, comment="JSON object as it was sent; null: none"),
    Column("lane", LaneKey, comment="named by the request"),
    Column("kind_lane", LaneKey, comment="derived by the kind from the args"),
    Column("lane_limits", Text, comment="JSON: what the request and the kind said of each lane; see lane_rules.py"),
    Column("label", String(255), comment="what it counts as in the place of its kind; null: as its kind"),
    Column("lane_seq", BigInteger, comment="the order in its lanes; null: the job is in none"),
    Column("traits", Integer, nullable=False, server_default="0", comment="what few jobs have, as bits: see traits.py"),
    Column("blocked_by", Integer, comment="how many edges to it are open; null: it came after no other job"),
    Column("flow", String(36)),
    Column("retry", Text, comment="JSON: the job's own retry policy; null: its kind's"),
    Column("retry_until", Moment, comment="no attempt begins later, once one has failed"),
    Column("unique_for", Double, comment="seconds beyond its end for which it holds its unique key"),
    Column("request_hash", String(64), comment="SHA-256 of the request; where the client made the id"),
    Column("fingerprint", String(16), comment="the group of its latest failure; null: no attempt has failed"),
    Column("due_since", Moment, comment="when it came due at first, if it was tried again; null: run_at"),
    Column("enqueued_by", String(120), comment="the principal whose request made it; null: nobody was asked"),
    Index("jobs_by_state", "state", "created_at", "id"),
    partial_index("jobs_by_epoch", "dispatch_epoch", "run_at", "id", where=WAITING_SQL),
    partial_index("jobs_due", "run_at", where="(state || '') IN ('scheduled', 'retrying')"),
    partial_index("jobs_expiring", "expires_at", where=f"expires_at IS NOT NULL AND {EXPIRING_SQL}"),
    partial_index("jobs_running", "worker", where=RUNNING_SQL),
    partial_index("jobs_finished", "finished_at", "id", where=TERMINAL_SQL),
    # Jobs that succeed, nearly all, write to none of these.
    partial_index("jobs_failed", "finished_at", "id", where="(state || '') = 'failed'"),
    partial_index("jobs_cancelled", "finished_at", "id", where="(state || '') = 'cancelled'"),
    partial_index(
        "jobs_by_error", text("substr(error_type, 1, 100)"), "created_at", "id", where="error_type IS NOT NULL"
    ),
    partial_index("jobs_blocked", "created_at", "id", where="(state || '') = 'blocked'"),
    # Nor do jobs without `unique_for` write to this one.
    partial_index("jobs_unique_for", "unique_key", "finished_at", where=f"unique_for IS NOT NULL AND {TERMINAL_SQL}"),
    Index(
        "jobs_unique_key",
        "unique_key",
        unique=True,
        postgresql_where=text(f"unique_key IS NOT NULL AND {LIVE_SQL}"),
        sqlite_where=text(f"unique_key IS NOT NULL AND {LIVE_SQL}"),
    ),
    partial_index("jobs_by_arq_id", "arq_id", where="arq_id IS NOT NULL"),
    # Jobs that never failed do not write to it.
    partial_index("jobs_by_fingerprint", "fingerprint", "created_at", "id", where="fingerprint IS NOT NULL"),
    # Jobs without lanes write to neither.
    partial_index("jobs_in_lane", "lane", "lane_seq", where=f"lane IS NOT NULL AND {LIVE_IN_LANE_SQL}"),
    partial_index("jobs_in_kind_lane", "kind_lane", "lane_seq", where=f"kind_lane IS NOT NULL AND {LIVE_IN_LANE_SQL}"),
)

# Columns by which lists are ordered and filtered, and which never change. They have their own table because Postgres
# writes to every index of a row whenever an indexed column changes: that would cost 40 % of each start and finish.
job_listing = Table(
    "job_listing",
    metadata,
    Column("created_at", Moment, primary_key=True),
    Column("job_id", String(255), primary_key=True),
    Column("kind", String(100), nullable=False),
    Column("queue", String(100), nullable=False),
    Column("lane", LaneKey),
    Column("kind_lane", LaneKey),
    Column("label", String(255)),
    Column("flow", String(36)),
    Column("flow_name", String(100), comment="the job's name in its flow; null: it joined later"),
    Index("job_listing_by_kind", "kind", "created_at", "job_id"),
    Index("job_listing_by_queue", "queue", "created_at", "job_id"),
    partial_index("job_listing_by_lane", "lane", "created_at", "job_id", where="lane IS NOT NULL"),
    partial_index("job_listing_by_kind_lane", "kind_lane", "created_at", "job_id", where="kind_lane IS NOT NULL"),
    partial_index("job_listing_by_label", "label", "created_at", "job_id", where="label IS NOT NULL"),
    partial_index("job_listing_by_flow", "flow", "created_at", "job_id", where="flow IS NOT NULL"),
    sqlite_with_rowid=False,
)

job_tags = Table(
    "job_tags",
    metadata,
    Column("tag", String(255), primary_key=True),
    Column("created_at", Moment, primary_key=True),
    Column("job_id", String(255), primary_key=True, index=True),
)

attempts = Table(  # ended attempts; a running one is only in its job's row
    "attempts",
    metadata,
    Column("job_id", String(255), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("outcome", String(11), nullable=False),
    Column("worker", String(64), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment, nullable=False),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("traceback", Text),
    Column("fingerprint", String(16), comment="the group of its failure; null: it did not fail"),
    Column("exchange", Text, comment="JSON: what was sent to whom, and what came back; null: nothing is known"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("hostname", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("queues", Text, nullable=False),
    Column("kinds", Text, nullable=False, server_default="[]", comment="JSON list of the kinds it knows"),
    Column("started_at", Moment, nullable=False),
    Column("heartbeat_at", Moment, nullable=False),
    Column("beating_since", Moment, nullable=False, comment="since when without a gap: who may rescue others"),
    Column("slots", Integer, comment="how many jobs it runs at once; null: an older version did not say"),
    Column("loop_lag_s", Double, nullable=False, server_default="0", comment="how long its event loop is blocked"),
    Column("hung_threads", Integer, nullable=False, server_default="0", comment="go on although nobody waits for them"),
    Column("ended_at", Moment, comment="stopped in order, or declared dead"),
    Column("declared_dead", Integer, nullable=False, server_default="0"),
    Column("version", String(64), comment="of the product or, by POSTLUDE_VERSION, of what is deployed with it"),
    Column("memory_bytes", BigInteger, comment="resident, at its latest heartbeat"),
    Column("drain_at", Moment, comment="since when it is to take no new jobs"),
    Column("rescued", Integer, nullable=False, server_default="0", comment="jobs that others took over at its death"),
    Column("forgotten_at", Moment, comment="dead, and no longer shown: a user has seen it"),
    partial_index("workers_living", "heartbeat_at", where="ended_at IS NULL"),
)

sweep_lease = Table(
    "sweep_lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1: one leader sweeps"),
    Column("leader", String(64), nullable=False),
    Column("leased_until", Moment, nullable=False),
    Column("epoch", String(64), comment="the queue's, at the last pass that left nothing to mend"),
    Column("swept_at", Moment, comment="when that pass was"),
    Column("swept_since", Moment, comment="since when such passes have followed each other without a gap"),
)

ticks = Table(
    "ticks",
    metadata,
    Column("kind", String(100), primary_key=True, comment="the schedule's name: a kind's, or one made at run time"),
    Column("due_at", Moment, primary_key=True),
    Column("job_id", String(255), comment="null: it was not fired"),
    Column("cron", Text, nullable=False, comment="the schedule's expression at that time"),
    Column("outcome", String(7), nullable=False, server_default="fired", comment="fired, skipped or missed"),
    Column("reason", Text, comment="why it was not fired, or what fired it out of turn"),
    Index("ticks_by_due_at", "due_at"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False, comment="SHA-256 of the request"),
    Column("answer", Text, comment="the body answered; null: the job as it is now"),
    Column("job_id", String(255), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
)

tallies = Table(
    "tallies",
    metadata,
    Column("writer", String(64), primary_key=True, comment="the process that counted; '': processes long gone"),
    Column("kind", String(255), primary_key=True, comment="what jobs count as: their label, or else their kind"),
    Column("event", String(11), primary_key=True, comment="enqueued, started, retried, a terminal state, ..."),
    Column("count", BigInteger, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

lanes = Table(  # what was set for lanes at run time; a row that sets nothing is deleted
    "lanes",
    metadata,
    Column("key", LaneKey, primary_key=True, comment="a lane, a pattern of lanes, kind:<name> or queue:<name>"),
    Column("concurrency", Integer),
    Column("rate_limit", Integer),
    Column("rate_per_s", Double),
    Column("strict", Integer, nullable=False, server_default="0"),
    Column("paused", Integer, nullable=False, server_default="0"),
    Column("paused_until", Moment, comment="null: until it is resumed"),
    Column("breaker_state", String(9), nullable=False, server_default="closed", comment="closed, open or half_open"),
    Column("breaker_forced", String(6), comment="open or closed, by a user"),
    Column("breaker_until", Moment, comment="when an open breaker lets one job try"),
    Column(
        "breaker_step", Integer, nullable=False, server_default="0", comment="how often it opened since it was closed"
    ),
    Column("breaker_reason", Text),
    Column("updated_at", Moment, nullable=False, comment="when a user changed it"),
)

lanes_epoch = Table(
    "lanes_epoch",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1"),
    Column(
        "epoch", String(255), nullable=False, comment="for which Redis' lanes were built: a start of another is refused"
    ),
)

# The source of `lane_seq`: a sequence on Postgres, a counter on SQLite, which has no sequences.
lane_sequence = Sequence("lane_sequence", metadata=metadata)
lane_counter = Table(
    "lane_counter",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1"),
    Column("latest", BigInteger, nullable=False),
)

write_probe = Table(
    "write_probe",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1: readiness tries to write it"),
    Column("written_at", Moment, nullable=False),
)
