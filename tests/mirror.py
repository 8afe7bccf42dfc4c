"""The modules that have no test of their own name at the mirrored place, by what tests them instead.

Features and kinds are not listed: each has tests of its own, so that to add one touches no list.
"""

TYPES_ONLY = "nothing happens in them: names, constants, tables, types and protocols"
TESTED_BY: dict[str, tuple[str, ...]] = {
    TYPES_ONLY: (
        "jobs/kit/context.py",
        "jobs/kit/http_errors.py",
        "jobs/kit/outcomes.py",
        "service/data_dir.py",
        "service/errors.py",
        "service/feature.py",
        "service/ledger/leases.py",
        "service/ledger/schema.py",
        "service/ledger/models.py",
        "service/metrics.py",
        "service/outbound/errors.py",
        "service/queue/entry.py",
        "service/queue/keys.py",
        "service/queue_key.py",
        "service/tables.py",
        "service/words.py",
        "service/worker/keeping/chore.py",
    ),
    "tests/jobs/kit/test_round_trip.py": ("jobs/kit/times.py",),
    "tests/service/api/jobs/test_actions.py": ("service/lifecycle/cancel.py",),
    "tests/service/api/jobs/test_bulk_replay.py": (
        "service/lifecycle/replay.py",
        "service/lifecycle/runnable.py",
    ),
    "tests/service/api/jobs/test_enqueue.py": (
        "service/lifecycle/kinds.py",
        "service/lifecycle/lifecycle.py",
        "service/lifecycle/new_job.py",
    ),
    "tests/service/api/jobs/test_events.py": (
        "service/api/jobs/event_reader.py",
        "service/api/jobs/watchtower.py",
    ),
    "tests/service/api/jobs/test_listing.py": (
        "service/api/jobs/filters.py",
        "service/api/jobs/list_cursor.py",
        "service/ledger/reads/listing.py",
        "service/web/cursor.py",
        "service/web/moments.py",
    ),
    "tests/service/api/jobs/test_lookup.py": ("service/api/jobs/job_out.py",),
    "tests/service/api/test_health.py": (
        "service/api/metrics.py",
        "service/api/readiness.py",
        "service/ledger/reads/counts.py",
    ),
    "tests/service/commands/test_jobs.py": ("service/commands/answers.py",),
    "tests/service/dashboard/test_home.py": ("service/web/pages.py",),
    "tests/service/dev/test_redis_server.py": ("service/runtime_folder.py",),
    "tests/service/dev/test_supervisor.py": (
        "service/dev/child.py",
        "service/dev/screen.py",
        "service/dev/tether.py",
    ),
    "tests/service/ledger/reads/test_audit.py": (
        "service/audit_report.py",
        "service/ledger/reads/attempt_audit.py",
    ),
    "tests/service/ledger/records/test_finished.py": (
        "service/ledger/guards.py",
        "service/ledger/reads/jobs.py",
        "service/ledger/records/expired.py",
        "service/ledger/records/progressed.py",
        "service/ledger/records/promoted.py",
    ),
    "tests/service/ledger/records/test_purged.py": (
        "service/ledger/purge.py",
        "service/ledger/reads/retention.py",
        "service/ledger/retention.py",
    ),
    "tests/service/ledger/test_connections.py": ("service/ledger/shrinking_pool.py",),
    "tests/service/ledger/test_database.py": (
        "service/ledger/engines.py",
        "service/ledger/sqlite_writer.py",
    ),
    "tests/service/ledger/test_group_commit.py": (
        "service/ledger/ledger.py",
        "service/ledger/rows.py",
    ),
    "tests/service/ledger/test_half_there.py": (
        "service/ledger/pooler.py",
        "service/ledger/records/probed.py",
        "service/ledger/write_probe.py",
    ),
    "tests/service/ledger/test_migrations.py": ("service/ledger/migrate.py",),
    "tests/service/lifecycle/test_bulk_replay.py": ("service/ledger/reads/lookups.py",),
    "tests/service/outbound/test_client.py": (
        "service/addresses.py",
        "service/outbound/upload.py",
    ),
    "tests/service/queue/test_claiming.py": ("service/queue/queue.py",),
    "tests/service/queue/test_putting.py": (
        "service/queue/idling.py",
        "service/queue/scripts.py",
    ),
    "tests/service/queue/test_restricted_redis.py": (
        "service/queue/probe.py",
        "service/queue/refusals.py",
    ),
    "tests/service/test_app.py": (
        "service/api/state.py",
        "service/web/deps.py",
        "service/web/state.py",
    ),
    "tests/service/test_clocks.py": (
        "service/agreed_time.py",
        "service/ledger/clock.py",
    ),
    "tests/service/test_preflight.py": ("service/queue/fitness.py",),
    "tests/service/web/test_bounds.py": (
        "service/web/body.py",
        "service/web/room.py",
        "service/web/taking.py",
    ),
    "tests/service/web/test_direct.py": ("service/web/headers.py",),
    "tests/service/web/test_query.py": ("service/web/guards.py",),
    "tests/service/worker/claiming/test_adoption.py": (
        "service/lifecycle/adopt.py",
        "service/queue/arq_job.py",
        "service/worker/performing/arq_result.py",
    ),
    "tests/service/worker/claiming/test_args.py": ("service/lifecycle/args.py",),
    "tests/service/worker/claiming/test_claims.py": (
        "service/ledger/reads/standings.py",
        "service/worker/claiming/not_started.py",
        "service/worker/claiming/unknown_kinds.py",
    ),
    "tests/service/worker/keeping/test_cron.py": (
        "service/ledger/reads/ticks.py",
        "service/ledger/records/ticked.py",
        "service/lifecycle/tick.py",
    ),
    "tests/service/worker/keeping/test_heartbeat.py": (
        "service/ledger/reads/workers.py",
        "service/worker/forced_exit.py",
    ),
    "tests/service/worker/keeping/test_housekeeping.py": ("service/worker/keeping/cancellations.py",),
    "tests/service/worker/keeping/test_leadership.py": ("service/ledger/reads/sweep_lease.py",),
    "tests/service/worker/keeping/test_redispatch.py": ("service/ledger/records/dispatched.py",),
    "tests/service/worker/keeping/test_sweep.py": (
        "service/worker/keeping/chores.py",
        "service/worker/keeping/priorities.py",
    ),
    "tests/service/worker/performing/test_attempt.py": (
        "service/worker/performing/attempt_log.py",
        "service/worker/performing/contexts.py",
        "service/worker/performing/progress.py",
    ),
    "tests/service/worker/performing/test_crashes.py": ("service/worker/exits.py",),
    "tests/service/worker/performing/test_finish.py": (
        "service/worker/performing/outcome.py",
        "service/worker/performing/result.py",
    ),
    "tests/service/worker/performing/test_isolated.py": ("service/worker/performing/isolated_child.py",),
    "tests/service/worker/performing/test_settling.py": ("service/worker/performing/finishing.py",),
    "tests/service/worker/test_job_resources.py": ("service/resources.py",),
    "tests/service/worker/test_check.py": ("service/worker/health.py",),
    "tests/service/worker/test_worker.py": (
        "service/worker/arq_settings.py",
        "service/worker/claiming/claim_loop.py",
        "service/worker/functions.py",
        "service/worker/performing/last_attempts.py",
        "service/worker/startup.py",
    ),
    "tests/test_api_process.py": ("service/web/stopping.py",),
    "tests/test_own_folder.py": (
        "service/dev/kinds.py",
        "service/dev/reload.py",
    ),
}
