"""When a job is deleted, so is the note that it was counted; the counters stay."""

from service.feature import Purge
from service.ledger.records.purged import rows_of_jobs
from service.stats.tables import counted_jobs

PURGE = Purge(of_jobs=rows_of_jobs(counted_jobs))
