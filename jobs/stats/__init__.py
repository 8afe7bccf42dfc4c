"""`update_stats`: counters by subject and event."""

from jobs.stats.kind import UpdateStatsArgs, update_stats

__all__ = ["UpdateStatsArgs", "update_stats"]
