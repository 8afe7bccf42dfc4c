"""Why somebody may not do what a button does: it stays in its place, and says so."""

from service.access.principal import Principal, Scope

_MAY_NOT = {
    Scope.OPERATE: "You may look, but not change anything: that needs the scope operate",
    Scope.ENQUEUE: "You may not enqueue jobs: that needs the scope enqueue",
    Scope.ADMIN: "That needs the scope admin",
    Scope.READ: "That needs the scope read",
}


def forbidden(principal: Principal, scope: Scope) -> str | None:
    """Return why the principal may not do what needs `scope`; None: it may."""
    return None if principal.may(scope) else _MAY_NOT[scope]
