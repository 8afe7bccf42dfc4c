"""`write_audit`: who did what, kept permanently in a log whose entries are chained."""

from jobs.audit.kind import WriteAuditArgs, write_audit

__all__ = ["WriteAuditArgs", "write_audit"]
