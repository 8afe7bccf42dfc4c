"""The audit log: what `write_audit` appends, read at `GET /v1/audit-log` and on a page.

`postlude audit-log verify` checks it.
"""

from typing import TYPE_CHECKING

from service.audit_log.capability import open_audit_log
from service.audit_log.tables import audit_log, audit_log_head
from service.feature import Feature, Pages

if TYPE_CHECKING:
    from click import Group
    from fastapi import APIRouter


def _router() -> "APIRouter":
    from service.audit_log.routes import router

    return router


def _pages() -> "APIRouter":
    from service.audit_log.pages import router

    return router


def _commands() -> "Group":
    from service.audit_log.commands import commands

    return commands


FEATURE = Feature(
    "audit_log",
    tables=(audit_log_head, audit_log),
    router=_router,
    pages=Pages(_pages, title="Audit log", path="/audit-log", for_admins=True),
    capability=open_audit_log,
    commands=_commands,
)
