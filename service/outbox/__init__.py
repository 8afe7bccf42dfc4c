"""The outbox feature: applications write jobs in their own transactions, and the ledger takes them over."""

from service.feature import Feature
from service.outbox.keeping import open_relays
from service.outbox.report import report
from service.outbox.tables import outbox, outboxes

FEATURE = Feature("outbox", tables=(outbox, outboxes), chores=open_relays, report=report)
