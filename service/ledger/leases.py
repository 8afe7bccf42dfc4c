"""How long leases last: a worker's, which its heartbeat renews, and the sweep's, which one process holds.

Both are kept by the database's clock; see `clock.py`.
"""

from datetime import timedelta

HEARTBEAT_EVERY = timedelta(seconds=5)
# A worker that was silent for so long is dead.
SILENT_AFTER = timedelta(seconds=20)
# Two heartbeats missed: after an outage of this length others may look dead that only could not write.
HEARTBEAT_GAP = timedelta(seconds=10)
# A worker whose event loop is blocked for longer does no work, however well its heartbeat goes.
BLOCKED_AFTER_S = 5.0

SWEEP_LEASE = timedelta(seconds=10)
# A lease that lasts longer is from before the clock was set back.
LONGEST_SWEEP_LEASE = 2 * SWEEP_LEASE
# Passes that lie further apart do not count as sweeping without a gap.
LONGEST_SWEEP_GAP = timedelta(seconds=30)
