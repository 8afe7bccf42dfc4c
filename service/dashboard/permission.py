"""Why the caller may not use a button: it stays in its place, and says so."""

from service.access.principal import Principal, Scope

_MAY_NOT = {
    Scope.OPERATE: "You can look, but changing anything needs the scope operate",
    Scope.ENQUEUE: "You cannot enqueue jobs: that needs the scope enqueue",
    Scope.ADMIN: "That needs the scope admin",
    Scope.READ: "That needs the scope read",
}


def forbidden(principal: Principal, scope: Scope) -> str | None:
    """Return why the principal may not do what needs `scope`; None if it may."""
    return None if principal.may(scope) else _MAY_NOT[scope]
