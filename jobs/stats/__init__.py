"""`update_stats`: counters by subject, event and time."""

from jobs.stats.kind import StatsEvent, UpdateStatsArgs, update_stats

__all__ = ["StatsEvent", "UpdateStatsArgs", "update_stats"]
