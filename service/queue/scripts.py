"""The Lua scripts, with one typed method each. The head of each `.lua` file says what it does."""

import re
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from arq.connections import ArqRedis

from service.lane_rules import label_in
from service.queue.codec import payload_of
from service.queue.entry import LONGEST_ID, Entry
from service.queue.keys import (
    IN_LUA,
    aside_key_of,
    key_of,
    lane_low_key_of,
    low_key_of,
    turns_key_of,
    wake_key_of,
)
from service.queue.lane_limits import given_to
from service.queue.room import Room

# What `claim` has mended: an event, the key, and the member or the key's new name.
Mended = tuple[bytes, bytes, bytes]
BuildStep = Literal["clear", "run", "hold", "place", "started", "head", "hear", "keep", "forget", "open", "stay"]


class FromLanes(NamedTuple):
    """What a claim says about lanes: their epoch; the names that it left; number of queue, lanes, strict ones, ids."""

    epoch: bytes
    left: list[bytes]
    claimed: list[tuple[int, list[bytes], list[bytes], list[bytes]]]


class Scripts:
    """Runs the scripts on one Redis."""

    def __init__(self, redis: ArqRedis) -> None:
        self._claim = redis.register_script(_with_lanes("serving", "claim_in_halves", "claim"))
        self._put = redis.register_script(_with_lanes("put"))
        self._put_in_lanes = redis.register_script(_with_lanes("put_in_lanes"))
        self._remove = redis.register_script(_with_lanes("remove"))
        self._take_off = redis.register_script(_read("take_off"))
        self._absent = redis.register_script(_read("absent"))
        self._release = redis.register_script(_with_lanes("release"))
        self._build = redis.register_script(_with_lanes("build"))
        self._look = redis.register_script(_with_lanes("look"))

    async def claim(
        self, queues: Sequence[str], room: Room, hold_ms: int, kinds: Sequence[str]
    ) -> tuple[int, list[Mended], FromLanes | None, list[list[bytes]]]:
        """Run `claim.lua`; return Redis' time in ms, what was mended, what lanes say, and the ids of each queue."""
        names = (key_of, low_key_of, aside_key_of, wake_key_of, turns_key_of, lane_low_key_of)
        keys = [name(queue) for queue in queues for name in names]
        shares: tuple[int, ...] = (room.lane_share, room.kind_share, int(room.has_full_kind))
        held = [part for pair in room.held.items() for part in pair]
        counts = (room.laneless, room.in_lanes, hold_ms, 4 * LONGEST_ID, *shares, len(room.held), len(room.paused))
        args: tuple[int | str, ...] = (*counts, *held, *room.paused, *queues, *kinds)
        now_ms, mended, lanes, *members = await cast(Awaitable[list[Any]], self._claim(keys=keys, args=args))
        return now_ms, mended, FromLanes(*lanes) if lanes else None, members

    async def put(self, entries: Sequence[Entry], now: datetime) -> None:
        """Run `put.lua` for 1 to 1,000 entries without lanes."""
        queues = list({entry.queue: None for entry in entries})
        keys = [name for queue in queues for name in (key_of(queue), low_key_of(queue), wake_key_of(queue))]
        args: list[str | int] = []
        told, payload = None, ""
        for entry in entries:
            if told != (entry.kind, entry.due_at):  # jobs of a batch, or of an operation's page, share theirs
                told, payload = (entry.kind, entry.due_at), payload_of(entry.kind, entry.due_at)
            args += (queues.index(entry.queue), int(entry.is_low(now)), entry.id, entry.score(now), payload)
        await cast(Awaitable[None], self._put(keys=keys, args=args))

    async def put_in_lanes(
        self,
        how: Literal["put", "back", "move"],
        entries: Sequence[Entry],
        scores: Sequence[int],
        now: datetime,
        claim_ms: int | None = None,
    ) -> None:
        """Run `put_in_lanes.lua` for 1 to 500 entries with lanes."""
        args: list[str | int] = [how, "" if claim_ms is None else claim_ms]
        for entry, score in zip(entries, scores, strict=True):
            given = given_to(entry.lanes, entry.lane_limits)
            label = label_in(entry.lane_limits)
            payload = payload_of(entry.kind, entry.due_at, entry.lanes, given, label)
            args += (entry.queue, int(entry.is_low(now) and how != "back"), entry.id, score, payload, entry.kind)
            args += (label or "",)
            args += (*(part for pair in zip(entry.lanes, given, strict=True) for part in pair), "", "")[:4]
        await cast(Awaitable[None], self._put_in_lanes(args=args))

    async def remove(self, queue: str, members: Sequence[bytes]) -> None:
        """Run `remove.lua` for 1 to 1,000 ids."""
        await cast(Awaitable[None], self._remove(keys=[key_of(queue), low_key_of(queue)], args=[queue, *members]))

    async def take_off(self, queue: str, laneless: Sequence[bytes], in_lanes: Mapping[str, Sequence[bytes]]) -> None:
        """Run `take_off.lua` for 1 to 1,000 ids: those without lanes, and the others by their first lanes."""
        args: list[str | bytes | int] = [queue, len(laneless), *laneless]
        for lane, ids in in_lanes.items():
            args += (lane, len(ids), *ids)
        await cast(Awaitable[None], self._take_off(keys=[key_of(queue), low_key_of(queue)], args=args))

    async def absent(self, args: Sequence[str]) -> list[int]:
        """Run `absent.lua`; return the places of the ids that wait nowhere, from 0."""
        return await cast(Awaitable[list[int]], self._absent(args=args))

    async def release(self, args: Sequence[str | int]) -> list[list[bytes]]:
        """Run `release.lua`; return the breakers that changed."""
        return await cast(Awaitable[list[list[bytes]]], self._release(args=args))

    async def build(self, builder: str, step: BuildStep, args: Sequence[str | int]) -> list[bytes]:
        """Run a step of `build.lua`; return the queues on which anything waits in the lanes."""
        return await cast(Awaitable[list[bytes]], self._build(args=[builder, step, *args]))

    async def look(self, lanes: Sequence[str]) -> list[list[Any]]:
        """Run `look.lua`."""
        return await cast(Awaitable[list[list[Any]]], self._look(args=lanes))


class OverRedis:
    """The base of each part of the queue: a client, and the scripts."""

    def __init__(self, redis: ArqRedis) -> None:
        self.redis = redis
        self._scripts = Scripts(redis)


def _with_lanes(*names: str) -> str:
    """Join scripts, after the scripts of lanes."""
    return _read("patterns", "lane_free", "lane_limits", "lane_breakers", "lane_turns", "lanes", *names)


@cache
def _read(*names: str) -> str:
    """Read scripts, with the names of keys filled in: as locals, these would cost each call some microseconds."""
    together = "\n".join((Path(__file__).parent / f"{name}.lua").read_text() for name in names)
    return _NAMES.sub(lambda found: f"'{IN_LUA[found.group()]}'", together)


_NAMES = re.compile(rf"\b({'|'.join(IN_LUA)})\b")
