"""A peer's part of a performance, in a process of its own: `python -m benchmarks.stage PEER VERB [ARGS]`.

    version            print the versions of the library and of the Python that runs it
    fill TASK COUNT    enqueue, and print how many seconds that took
    work SLOTS         become a worker
    watch COUNT LIMIT  print `ready`; once COUNT more jobs are done, or LIMIT seconds after the first one, print all
                       samples [[monotonic, done], ...]
    trickle COUNT      enqueue jobs one by one at random intervals; print [[index, monotonic_ns], ...]
    call KEY URL FIRST COUNT PACE
                       enqueue COUNT posts to URL/FIRST and so on, all under KEY, `at_once` or `one_by_one` at random
                       intervals; print [[index, monotonic_ns], ...]

Answers are JSON, one a line.
"""

import asyncio
import importlib
import json
import os
import platform
import random
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from benchmarks.peers import Caller, Peer, PeerModule, Task

SAMPLE_EVERY_S = 0.02
STARTS_WITHIN_S = 60.0  # a busy machine is slow to start a worker
INTERVALS_S = (0.02, 0.08)


def main(name: str, verb: str, *args: str) -> None:
    module = cast(PeerModule, importlib.import_module(f"benchmarks.peers.{name}"))
    match verb, args:
        case "version", ():
            _say([version(module.DISTRIBUTION), platform.python_version()])
        case "work", (slots,):
            command, *options = module.worker(int(slots))
            path = str(Path(sys.executable).parent / command)
            os.execv(path, [path, *options])
        case _:
            asyncio.run(_play(module, verb, args))


async def _play(module: PeerModule, verb: str, args: tuple[str, ...]) -> None:
    async with module.opened() as peer:
        match verb, args:
            case "fill", (task, count):
                _say(await _fill(peer, cast(Task, task), int(count)))
            case "watch", (count, limit_s):
                await _watch(peer, int(count), float(limit_s))
            case "trickle", (count,):
                _say(await _trickle(peer, int(count)))
            case "call", (key, url, first, count, pace):
                indices = range(int(first), int(first) + int(count))
                _say(await _call(cast(Caller, peer), key, url, indices, at_once=pace == "at_once"))
            case _:
                raise ValueError(f"{verb} {args} is no part of a performance")


async def _fill(peer: Peer, task: Task, count: int) -> float:
    started = time.monotonic()
    await peer.fill(task, count)
    return time.monotonic() - started


async def _watch(peer: Peer, count: int, limit_s: float) -> None:
    before = await peer.done()
    samples: list[tuple[float, int]] = []
    _say("ready")
    deadline = time.monotonic() + STARTS_WITHIN_S
    while not samples or (samples[-1][1] < count and time.monotonic() < deadline):
        done = await peer.done() - before
        if done and not (samples and samples[-1][1]):
            deadline = time.monotonic() + limit_s
        samples.append((time.monotonic(), done))
        await asyncio.sleep(SAMPLE_EVERY_S)
    _say(samples)


async def _trickle(peer: Peer, count: int) -> list[tuple[int, int]]:
    dice = random.Random(count)
    enqueued = []
    for index in range(count):
        await asyncio.sleep(dice.uniform(*INTERVALS_S))
        await peer.enqueue_stamp(index)
        enqueued.append((index, time.monotonic_ns()))
    return enqueued


async def _call(peer: Caller, key: str, url: str, indices: range, *, at_once: bool) -> list[tuple[int, int]]:
    if at_once:
        await peer.call(key, [f"{url}/{index}" for index in indices])
        return [(index, time.monotonic_ns()) for index in indices]
    dice = random.Random(len(indices))
    enqueued = []
    for index in indices:
        await asyncio.sleep(dice.uniform(*INTERVALS_S))
        await peer.call(key, [f"{url}/{index}"])
        enqueued.append((index, time.monotonic_ns()))
    return enqueued


def _say(value: Any) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
