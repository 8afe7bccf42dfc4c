"""The overview for callers who may see only some kinds or queues: it leaves out the others."""

from collections.abc import Iterable
from dataclasses import replace

from service.access.principal import Principal
from service.dashboard.overview.reading import Standing
from service.insight.trouble import Trouble

# Prefixes of the keys of troubles and holds that are about a kind or a queue.
_OF_KINDS = ("kind:", "slo:", "paused:kind:")
_OF_QUEUES = ("queue:", "waits:", "paused:queue:")
_ABOUT_ALL = ("ledger", "redis", "workers", "unaccounted", "gap")


def narrowed(standing: Standing, principal: Principal) -> Standing:
    """Return what the caller may see of it. Totals stay: they reveal no job."""
    if not principal.is_limited:
        return standing
    held = [row for row in standing.held if _is_seen(row.rule.key, principal)]
    return replace(
        standing,
        queues=[row for row in standing.queues if _sees_queue(principal, row.name)],
        groups=[row for row in standing.groups if _sees_kind(principal, row.group.kind)],
        held=held,
        held_count=len(held),
    )


def seen(troubles: Iterable[Trouble], principal: Principal) -> list[Trouble]:
    """Return the troubles that concern the caller."""
    return [one for one in troubles if not principal.is_limited or _is_seen(one.key, principal)]


def _is_seen(key: str, principal: Principal) -> bool:
    for prefixes, sees in ((_OF_KINDS, _sees_kind), (_OF_QUEUES, _sees_queue)):
        for prefix in prefixes:
            if key.startswith(prefix):
                return sees(principal, key.removeprefix(prefix))
    return key in _ABOUT_ALL


def _sees_kind(principal: Principal, kind: str) -> bool:
    return replace(principal, queues=None).may_touch(kind, "")


def _sees_queue(principal: Principal, queue: str) -> bool:
    return replace(principal, kinds=None).may_touch("", queue)
