"""The programme of a run: every case, played by its contenders in turns, so that a slow minute hits all of them."""

import importlib
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.arena import Arena, PerformanceFailed, arena, postgres_server
from benchmarks.cases import Case
from benchmarks.contenders import ROOT, Contender
from benchmarks.results import Results
from tests.support.servers import PostgresServer

CASES = (
    *("drain", "pickup", "io_bound", "scaling", "http_enqueue", "webhooks", "redis_bytes", "growth", "memory", "cpu"),
    *("operation", "outbox"),
    *("lanes_drain", "lanes_backlog", "lanes_rate", "lanes_strict", "lanes_dead_host", "lanes_fairness"),
    *("flow_diamond", "flow_chain", "steps"),
    *("app_calls", "app_tasks", "processes"),
)


@dataclass(frozen=True)
class Performance:
    case: Case
    contender: Contender


def load_cases(only: Sequence[str]) -> list[Case]:
    """Return the cases that have one of these names or are of such a chapter, or all. Raises `ValueError`."""
    cases: list[Case] = [importlib.import_module(f"benchmarks.cases.{name}").CASE for name in CASES]
    names = {case.name: None for case in cases} | {case.chapter: None for case in cases}
    unknown = set(only) - names.keys()
    if unknown:
        raise ValueError(f"no case {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return [case for case in cases if not only or case.name in only or case.chapter in only]


def performances(cases: Sequence[Case], peers: Sequence[str], rounds: int, *, quick: bool) -> list[Performance]:
    """List what is played, round by round; each round begins with another contender. `peers` are parts of names."""
    return [
        Performance(case, contender)
        for number in range(rounds)
        for case in cases
        if number < case.rounds_at_most
        for contender in _turned(_chosen(case, peers, quick=quick), number)
    ]


def absent(programme: Sequence[Performance]) -> dict[str, str]:
    """Say why a contender cannot take part: its environment is not on this machine."""
    missing = {one.contender.name: one.contender.environment for one in programme if not one.contender.is_installed}
    return {name: f"{environment}, its environment, is not here" for name, environment in missing.items()}


def _chosen(case: Case, peers: Sequence[str], *, quick: bool) -> list[Contender]:
    wanted = [one for one in case.contenders if not quick or one.in_quick]
    if not peers:
        return wanted
    wanted = list(case.contenders)
    return [one for one in wanted if one.is_postlude or any(peer.lower() in one.name.lower() for peer in peers)]


def _turned(contenders: Sequence[Contender], number: int) -> Iterator[Contender]:
    for place in range(len(contenders)):
        yield contenders[(place + number) % len(contenders)]


def play(programme: Sequence[Performance], *, rounds: int, quick: bool) -> Iterator[Results]:
    """Play everything, and yield the results so far after each. A contender that fails or is absent is reported."""
    results = Results(about={}, absent=absent(programme))
    console = Console(stderr=True)
    for name, reason in results.absent.items():
        console.print(f"{name} takes no part: {reason}.", markup=False)
    programme = [one for one in programme if one.contender.is_installed]
    with postgres_server() as postgres, _progress(console) as progress:
        results.about = about(postgres, programme, rounds=rounds, quick=quick)
        bar = progress.add_task("", total=len(programme))
        for one in programme:
            progress.update(bar, description=f"{one.case.name}: {one.contender.name}")
            try:
                results.add(one.case.name, one.contender.name, one.case.play(one.contender, postgres, quick))
            except PerformanceFailed as failure:
                results.fail(one.case.name, one.contender.name, str(failure))
                console.print(f"{one.case.name}: {one.contender.name} failed: {failure}", markup=False)
            progress.advance(bar)
            yield results


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console)


def about(postgres: PostgresServer, programme: Sequence[Performance], *, rounds: int, quick: bool) -> dict[str, Any]:
    """Say when, where and with which versions a run was made."""
    contenders = {one.contender.peer: one.contender for one in programme if one.contender.peer}
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("describe", "--always", "--dirty"),
        "rounds": rounds,
        "quick": quick,
        "machine": _machine(),
        "load_before": os.getloadavg()[0],
        "versions": {"Python": platform.python_version()} | _versions(contenders.values(), postgres),
    }


def _machine() -> str:
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processor = cpu.partition(":")[2].strip() or platform.machine()
    return f"{os.cpu_count()} cores ({processor}), {memory_gb:.0f} GB, {platform.system()}"


def _versions(contenders: Iterable[Contender], postgres: PostgresServer) -> dict[str, str]:
    known = list(contenders)
    if not known:
        return {}
    with arena(replace(known[0], peer=""), postgres) as opened:  # one arena for all: nobody performs
        own = {one.peer: _shown(*replace(opened, contender=one).ask("version")) for one in known}
        return own | _server_versions(opened)


def _shown(library: str, python: str) -> str:
    return library if python == platform.python_version() else f"{library} (Python {python})"


def _server_versions(opened: Arena) -> dict[str, str]:
    with opened.redis() as redis:
        redis_version = str(redis.info("server")["redis_version"])
    return {"Redis": redis_version, "Postgres": (opened.postgres.data / "PG_VERSION").read_text().strip()}


def _git(*args: str) -> str:
    done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no git"


def timestamp() -> str:
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime())
