"""Decides which files a request may name."""

from fastapi import Request

from service.access.principal import Principal, Scope
from service.lifecycle.file_check import FileCheck
from service.web.guards import principal_of
from service.web.state import state_of


def file_check_of(request: Request) -> FileCheck:
    """Return the check for a caller, who may name only the files that they may see."""
    resources = state_of(request).resources
    return FileCheck(resources.ledger, resources.catalogue, owner_for(principal_of(request)))


def owner_for(principal: Principal) -> str | None:
    """Return the owner whose files a limited or enqueue-only caller may see; None: all files."""
    return principal.id if principal.is_limited or not principal.may(Scope.READ) else None
