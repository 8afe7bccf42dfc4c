"""Which files a request may name."""

from fastapi import Request

from service.access.principal import Principal, Scope
from service.lifecycle.file_check import FileCheck
from service.web.guards import principal_of
from service.web.state import state_of


def file_check_of(request: Request) -> FileCheck:
    """Return the check for a caller: it may name the files that are there for it."""
    resources = state_of(request).resources
    return FileCheck(resources.ledger, resources.catalogue, owner_for(principal_of(request)))


def owner_for(principal: Principal) -> str | None:
    """Return whose files alone are there for a caller, which is limited or may only enqueue; None: all."""
    return principal.id if principal.is_limited or not principal.may(Scope.READ) else None
