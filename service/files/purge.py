"""When a job is deleted, so is the note that it used files; files have their own expiry."""

from service.feature import Purge
from service.file_tables import file_uses
from service.files.keeping import purge_files
from service.ledger.records.purged import rows_of_jobs

PURGE = Purge(of_jobs=rows_of_jobs(file_uses), by_age=purge_files)
