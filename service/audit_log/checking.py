"""Checks a page of entries, each by itself and behind the one before it. `verifying` checks the whole log. Pure."""

from collections.abc import Mapping, Sequence
from typing import Literal

from service.audit_log.chain import GENESIS, Kept, Keys
from service.audit_log.reads import Ends

Verdict = Literal["whole", "changed", "moved", "unknown"]
EndVerdict = Literal["whole", "gone", "cut", "exceeded", "exchanged"]


def check_page(page: Sequence[Kept], before: Mapping[int, str], ends: Ends, keys: Keys) -> list[Verdict]:
    """Say whether each entry has the hash of its content and follows the one before; `before` has hashes."""
    return [_check(entry, before, ends, keys) for entry in page]


def check_end(page: Sequence[Kept], ends: Ends) -> EndVerdict:
    """Say whether the log ends where its head says, and with that entry if the page shows the newest one."""
    newest = ends.newest or 0
    if ends.seq is None:
        return "gone"
    if ends.seq != newest:
        return "cut" if newest < ends.seq else "exceeded"
    is_exchanged = any(entry.seq == newest and entry.hash != ends.hash for entry in page)
    return "exchanged" if is_exchanged else "whole"


def _check(entry: Kept, before: Mapping[int, str], ends: Ends, keys: Keys) -> Verdict:
    if not keys.have(entry.key_id):
        return "unknown"
    try:
        is_right = keys.hash_of(entry) == entry.hash
    except ValueError:  # its content is no longer text
        is_right = False
    if not is_right:
        return "changed"
    first = GENESIS if entry.seq == 1 else None
    expected = before.get(entry.seq - 1, first)
    # The entries before the oldest one were pruned, maybe since the page was read; if they were not,
    # `postlude audit-log verify` reports them as missing.
    is_pruned = expected is None and ends.oldest is not None and entry.seq <= ends.oldest
    follows = is_pruned or expected == entry.previous_hash
    return "whole" if follows else "moved"
