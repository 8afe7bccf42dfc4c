"""When a job is deleted, so are the mail server's answers about its recipients."""

from service.feature import Purge
from service.ledger.records.purged import rows_of_jobs
from service.mail.tables import mail_recipients

PURGE = Purge(of_jobs=rows_of_jobs(mail_recipients))
