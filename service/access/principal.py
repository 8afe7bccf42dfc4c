"""Who is calling, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum

from service.errors import ScopeMissing


class Scope(StrEnum):
    """What a principal may do. `operate` includes `read`, `admin` includes all; the others are independent."""

    ENQUEUE = "enqueue"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


_INCLUDED_IN = {
    Scope.ENQUEUE: frozenset({Scope.ENQUEUE, Scope.ADMIN}),
    Scope.READ: frozenset({Scope.READ, Scope.OPERATE, Scope.ADMIN}),
    Scope.OPERATE: frozenset({Scope.OPERATE, Scope.ADMIN}),
    Scope.ADMIN: frozenset({Scope.ADMIN}),
}


class Role(StrEnum):
    """What a user may do: a name for a set of scopes."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def scopes(self) -> frozenset[Scope]:
        return _SCOPES_OF[self]


_SCOPES_OF = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.OPERATE, Scope.ENQUEUE}),
    Role.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling. `id` is how records name it: `key:<uuid>`, `user:<name>`, `bootstrap` or `anybody`.

    `kinds` and `queues` are its limits: names, and prefixes that end with `*`; None: all.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    kinds: tuple[str, ...] | None = None
    queues: tuple[str, ...] | None = None
    sees_args: bool = True

    def may(self, scope: Scope) -> bool:
        return not _INCLUDED_IN[scope].isdisjoint(self.scopes)

    def check(self, scope: Scope) -> None:
        """Raise `ScopeMissing` unless the principal has the scope, or one that includes it."""
        if not self.may(scope):
            raise ScopeMissing(f"{self.name} may not do this: it needs the scope {scope.value!r}.")

    @property
    def is_limited(self) -> bool:
        """Whether there are jobs that it may not see."""
        return self.kinds is not None or self.queues is not None

    def may_touch(self, kind: str, queue: str, label: str | None = None) -> bool:
        """Whether the principal may see and act on jobs of this kind or label on this queue."""
        is_its_kind = is_listed(kind, self.kinds) or (label is not None and is_listed(label, self.kinds))
        return is_its_kind and is_listed(queue, self.queues)


def is_listed(name: str, listed: tuple[str, ...] | None) -> bool:
    """Whether a name matches one of a list of names and of prefixes that end with `*`; None lists all."""
    return listed is None or any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in listed)


# Anybody, where the service has neither keys nor users and listens only on this machine.
ANYBODY = Principal("anybody", "anybody", frozenset(Scope))
# Anyone with one of `POSTLUDE_API_KEYS`.
BOOTSTRAP = Principal("bootstrap", "a key of POSTLUDE_API_KEYS", frozenset(Scope))
