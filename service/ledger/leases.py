"""How long leases last: a worker's, renewed by its heartbeat, and the sweep's, held by one process.

Both are kept by the database's clock; see `clock.py`.
"""

from datetime import timedelta

HEARTBEAT_EVERY = timedelta(seconds=5)
# A worker that has been silent for this long is dead.
SILENT_AFTER = timedelta(seconds=20)
# Two missed heartbeats: after an outage of this length, workers that only could not write may look dead.
HEARTBEAT_GAP = timedelta(seconds=10)
# A worker whose event loop is blocked for longer does no work, even if its heartbeat goes on.
BLOCKED_AFTER_S = 5.0

SWEEP_LEASE = timedelta(seconds=10)
# A lease that lasts longer was taken before the clock was set back.
LONGEST_SWEEP_LEASE = 2 * SWEEP_LEASE
# Passes further apart than this do not count as sweeping without a gap.
LONGEST_SWEEP_GAP = timedelta(seconds=30)
