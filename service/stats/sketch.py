"""Sketches of who was counted (HyperLogLog): how many different names, to 0.8 %, in a few KiB. Pure.

A sketch has 2**14 registers of one byte, kept compressed. Sketches of several times are merged by the highest of each
register, and adding a name again changes nothing. The estimator is that of O. Ertl, "New cardinality estimation
algorithms for HyperLogLog sketches" (2017), algorithm 6, which needs no tables and no switch for small numbers.
"""

import hashlib
import math
import zlib
from collections.abc import Iterable

_BITS = 14
_REGISTERS = 1 << _BITS
_HIGHEST = 64 - _BITS + 1
# The high bit of each register, which no value needs: all are compared in one subtraction of large numbers.
_FLAGS = int.from_bytes(b"\x80" * _REGISTERS, "little")
EMPTY = bytes(_REGISTERS)
_ALPHA = 0.5 / math.log(2)


def hash_of(name: str) -> int:
    """Return 64 bits for a name, always the same."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def packed(registers: bytes) -> bytes:
    return zlib.compress(registers, 1)


def unpacked(sketch: bytes) -> bytes:
    return zlib.decompress(sketch)


def added(registers: bytes, hashes: Iterable[int]) -> bytes:
    """Add names by their hashes."""
    changed = bytearray(registers)
    for one in hashes:
        register, rest = one & (_REGISTERS - 1), one >> _BITS
        rank = (rest & -rest).bit_length() if rest else _HIGHEST
        if rank > changed[register]:
            changed[register] = rank
    return bytes(changed)


def merged(sketches: Iterable[bytes]) -> bytes:
    """Return the highest of each register."""
    highest = 0
    for registers in sketches:
        one = int.from_bytes(registers, "little")
        is_lower = (((one | _FLAGS) - highest) & _FLAGS) >> 7  # 1 in each register where `highest` is no higher
        chosen = is_lower * 0xFF
        highest = (one & chosen) | (highest & ~chosen)
    return highest.to_bytes(_REGISTERS, "little")


def estimate(registers: bytes) -> int:
    """Estimate how many different names were added."""
    having = [registers.count(rank) for rank in range(_HIGHEST + 1)]
    total = _REGISTERS * _tau(1 - having[_HIGHEST] / _REGISTERS)
    for rank in range(_HIGHEST - 1, 0, -1):
        total = (total + having[rank]) / 2
    total += _REGISTERS * _sigma(having[0] / _REGISTERS)
    return round(_ALPHA * _REGISTERS**2 / total)


def _sigma(share: float) -> float:
    if share == 1.0:
        return math.inf
    total, weight = share, 1.0
    while True:
        share *= share
        before, total = total, total + share * weight
        weight += weight
        if total == before:
            break
    return total


def _tau(share: float) -> float:
    if share in (0.0, 1.0):
        return 0.0
    total, weight = 1 - share, 1.0
    while True:
        share = math.sqrt(share)
        weight /= 2
        before, total = total, total - (1 - share) ** 2 * weight
        if total == before:
            break
    return total / 3
