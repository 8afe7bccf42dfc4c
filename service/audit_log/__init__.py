"""The audit log: what `write_audit` appends, read at `GET /v1/audit-log` and checked by `postlude audit-log verify`."""

from typing import TYPE_CHECKING

from service.audit_log.capability import open_audit_log
from service.audit_log.tables import audit_log, audit_log_head
from service.feature import Feature

if TYPE_CHECKING:
    from click import Group
    from fastapi import APIRouter


def _router() -> "APIRouter":
    from service.audit_log.routes import router

    return router


def _commands() -> "Group":
    from service.audit_log.commands import commands

    return commands


FEATURE = Feature(
    "audit_log",
    tables=(audit_log_head, audit_log),
    router=_router,
    capability=open_audit_log,
    commands=_commands,
)
