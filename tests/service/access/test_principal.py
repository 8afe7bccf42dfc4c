"""What a principal may do."""

import pytest

from service.access.principal import ANYBODY, BOOTSTRAP, Principal, Role, Scope
from service.errors import ScopeMissing


def having(*scopes: Scope, kinds: tuple[str, ...] | None = None, queues: tuple[str, ...] | None = None) -> Principal:
    return Principal("key:x", "x", frozenset(scopes), kinds=kinds, queues=queues)


@pytest.mark.parametrize(
    ("has", "may"),
    [
        (Scope.ENQUEUE, {Scope.ENQUEUE}),
        (Scope.READ, {Scope.READ}),
        (Scope.OPERATE, {Scope.READ, Scope.OPERATE}),
        (Scope.ADMIN, set(Scope)),
    ],
)
def test_a_scope_includes_what_it_says_and_nothing_else(has: Scope, may: set[Scope]) -> None:
    assert {scope for scope in Scope if having(has).may(scope)} == may
    for scope in set(Scope) - may:
        with pytest.raises(ScopeMissing, match=scope.value):
            having(has).check(scope)


def test_a_viewer_reads_and_an_operator_does_not_administer() -> None:
    assert Role.VIEWER.scopes == {Scope.READ}
    assert not having(*Role.OPERATOR.scopes).may(Scope.ADMIN)
    assert all(having(*Role.ADMIN.scopes).may(scope) for scope in Scope)
    assert all(one.may(scope) for one in (ANYBODY, BOOTSTRAP) for scope in Scope)


def test_limits_hold_for_kinds_and_queues_at_once() -> None:
    key = having(Scope.READ, kinds=("send_*", "billing.invoice"), queues=("mail",))
    assert key.is_limited
    assert key.may_touch("send_email", "mail")
    assert key.may_touch("billing.invoice", "mail")
    assert not key.may_touch("send_email", "default")
    assert not key.may_touch("cleanup", "mail")
    assert not having(Scope.READ).is_limited
    assert having(Scope.READ).may_touch("anything", "anywhere")
