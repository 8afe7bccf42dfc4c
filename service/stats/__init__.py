"""The stats feature: the counters that `update_stats` fills."""
