"""Checks the chain entry by entry, and says what is wrong with it. Pure, and in flat memory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from service.audit_log.chain import GENESIS, Kept, Keys
from service.audit_log.reads import Ends
from service.audit_log.records import PRUNED
from service.words import counted

_MOST_SHOWN = 100


@dataclass(slots=True)
class _Run:
    """Entries with the same fault: where the first and the last are, and how many."""

    first: int
    last: int
    count: int = 1

    def __str__(self) -> str:
        where = f"entry {self.first}" if self.count == 1 else f"entries {self.first} to {self.last}"
        return where if self.count in (1, self.last - self.first + 1) else f"{self.count:,} of {where}"


class _Before(NamedTuple):
    """The entry before, with the hash that it has and the one that it should have."""

    seq: int
    hash: str
    right_hash: str | None


@dataclass(slots=True)
class Verifier:
    """Takes entries in order. `noted` are hashes, by number, that were noted elsewhere earlier."""

    keys: Keys
    noted: Mapping[int, str] = field(default_factory=dict)
    checked: int = 0
    wrong: int = 0
    findings: list[str] = field(default_factory=list)
    """The first faults, in words."""
    not_checked: list[int] = field(default_factory=list)
    """The noted entries that were pruned."""
    _before: _Before | None = None
    _unattested: tuple[int, str] | None = None
    _runs: dict[str, _Run] = field(default_factory=dict)

    def take(self, entry: Kept) -> None:
        """Check the next entry."""
        self.checked += 1
        right_hash = self._right_hash(entry)
        is_right = right_hash == entry.hash
        if not is_right and self.keys.have(entry.key_id):
            self._find(f"entry {entry.seq} was changed, or is not in its place: its hash does not match its content")
        self._check_link(entry)
        if is_right:
            self._look_for_pruning(entry)
        if self.noted.get(entry.seq, entry.hash) != entry.hash:
            self._find(f"entry {entry.seq} does not have the hash that you noted: the log was forged up to there")
        self._before = _Before(entry.seq, entry.hash, right_hash)

    def end(self, ends: Ends) -> None:
        """Check the end, against the head of the log as it was when the check began."""
        if self._unattested is not None:
            self._find(f"{_several(1, self._unattested[0])} missing: nothing in the log says that they were pruned")
        for fault, run in self._runs.items():
            self._find(f"{run}: {fault}")
        self._check_head(ends)
        for seq in sorted(self.noted):
            if seq > (0 if self._before is None else self._before.seq):
                self._find(f"entry {seq}, which you noted, is missing")

    def _right_hash(self, entry: Kept) -> str | None:
        """Return the hash that an entry should have, or None if nobody can say."""
        if not self.keys.have(entry.key_id):
            self._note_run(f"the key {entry.key_id} is not in POSTLUDE_AUDIT_LOG_KEYS", entry.seq)
            return None
        if entry.key_id is None and self.keys.key_id is not None and entry.seq > max(self.noted, default=0):
            self._note_run("made without a key: anyone who can write to the database can make such an entry", entry.seq)
        try:
            return self.keys.hash_of(entry)
        except ValueError:
            return None

    def _check_link(self, entry: Kept) -> None:
        before = self._before
        if before is None:
            self._check_first(entry)
        elif entry.seq != before.seq + 1:
            self._find(f"{_several(before.seq + 1, entry.seq - 1)} missing")
        elif entry.previous_hash not in (before.hash, before.right_hash):
            self._find(f"entry {entry.seq} does not follow entry {before.seq} as it is now: one of them was replaced")

    def _check_first(self, entry: Kept) -> None:
        if entry.seq < 1:
            self._find(f"entry {entry.seq} does not belong to the log: entries are numbered from 1")
        elif entry.seq > 1:
            self._unattested = entry.seq - 1, entry.previous_hash
        elif entry.previous_hash != GENESIS:
            self._find("entry 1 follows another entry, which is missing")
        for seq in sorted(seq for seq in self.noted if seq < entry.seq):
            if seq != entry.seq - 1:
                self.not_checked.append(seq)
            elif self.noted[seq] != entry.previous_hash:
                self._find(f"entry {entry.seq} does not follow entry {seq} as you noted it")

    def _look_for_pruning(self, entry: Kept) -> None:
        """Look for the note that the entries missing in front were pruned. Not all that it names may be gone yet."""
        if self._unattested is None or entry.action != PRUNED or entry.job_id is not None or entry.data is None:
            return
        seq, last_hash = self._unattested
        try:
            note = json.loads(entry.data)
            is_attested = note["through"] > seq or (note["through"] == seq and note["hash"] == last_hash)
        except (ValueError, TypeError, KeyError):  # not one of ours
            return
        if is_attested:
            self._unattested = None

    def _check_head(self, ends: Ends) -> None:
        seq, last_hash = (0, GENESIS) if self._before is None else self._before[:2]
        if ends.seq is None:
            self._find("the row of audit_log_head is missing: nothing says where the log ends")
        elif seq < ends.seq:
            self._find(f"{_several(seq + 1, ends.seq)} missing at the end")
        elif seq > ends.seq:
            self._find(f"{_several(ends.seq + 1, seq)} added after the end given by audit_log_head")
        elif last_hash != ends.hash:
            self._find(f"entry {seq}, the last, does not have the hash given by audit_log_head")

    def _note_run(self, fault: str, seq: int) -> None:
        if (run := self._runs.get(fault)) is None:
            self._runs[fault] = _Run(seq, seq)
        else:
            run.last, run.count = seq, run.count + 1

    def _find(self, finding: str) -> None:
        self.wrong += 1
        if len(self.findings) < _MOST_SHOWN:
            self.findings.append(finding)


def _several(first: int, last: int) -> str:
    """Name entries by their numbers, with the verb."""
    return (
        f"entry {first} is"
        if first == last
        else f"{counted(last - first + 1, 'entry', 'entries')}, {first} to {last}, are"
    )
