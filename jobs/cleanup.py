"""`cleanup`: deletes jobs and files past their retention, every night and whenever it is enqueued."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from jobs.kit.context import Context
from jobs.kit.declaration import job


class CleanupArgs(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    older_than_days: float | None = Field(
        None, ge=0, le=3650, description="Delete what ended longer ago. Default: the retention in the settings."
    )
    dry_run: bool = Field(False, description="Only count what would be deleted.")


class CleanupResult(BaseModel):
    dry_run: bool
    older_than_days: float
    deleted: dict[str, int] = Field(description="Rows by table, and files; with dry_run, what would be deleted.")


@job("cleanup", timeout=3600, max_attempts=3, cron="17 3 * * *")
async def cleanup(ctx: Context, args: CleanupArgs) -> CleanupResult:
    """Delete terminal jobs, attempts, ticks, idempotency keys and files past their retention, in small batches."""
    older_than, failed_older_than = ctx.ledger.retention, ctx.ledger.retention_failed
    if args.older_than_days is not None:
        older_than = failed_older_than = timedelta(days=args.older_than_days)
    deleted = await ctx.ledger.purge(older_than, failed_older_than=failed_older_than, dry_run=args.dry_run)
    ctx.log.info("cleaned_up", dry_run=args.dry_run, **deleted)
    return CleanupResult(dry_run=args.dry_run, older_than_days=older_than / timedelta(days=1), deleted=deleted)
