"""What it costs that Postgres compares text by the rules of a language: `python -m benchmarks.collations`.

One worker drains no-op jobs from databases of one server that differ in their collation alone, in turns. Collations
that this machine does not have are left out; `localedef -i en_US -f UTF-8 en_US.UTF-8` makes the usual one.
"""

import argparse
import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from benchmarks.arena import Arena, arena, postgres_server
from benchmarks.cases.flow_diamond import ends_within_s
from benchmarks.contenders import POSTLUDE_POSTGRES
from tests.support.servers import PostgresServer

_JOBS = 4_000
# The rest of CREATE DATABASE. The first one is what docs/production.md says; the others are compared with it.
_COLLATIONS: Mapping[str, str] = {
    "C": "LC_COLLATE 'C'",
    "C.UTF-8, built in": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'",
    "C.UTF-8": "LC_COLLATE 'C.UTF-8'",
    "en_US.UTF-8": "LC_COLLATE 'en_US.UTF-8' LC_CTYPE 'en_US.UTF-8'",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    wanted = parser.parse_args()
    with postgres_server() as postgres, ExitStack() as stack:
        arenas = {name: stack.enter_context(_working(postgres, name)) for name in _here(postgres)}
        for opened in arenas.values():
            _drain_s(opened)
        names = [*arenas]
        turns = [{name: _drain_s(arenas[name]) for name in _in_turn(names, number)} for number in range(wanted.turns)]
    print(f"\n| collation | {_JOBS:,} jobs, ms | times the first |\n|---|---:|---:|")
    for name in names:
        took = statistics.median(turn[name] for turn in turns)
        ratio = statistics.median(turn[name] / turn[names[0]] for turn in turns)
        print(f"| {name} | {1000 * took:.0f} | {ratio:.2f} |")


def _here(postgres: PostgresServer) -> Iterator[str]:
    """Make a template for each collation that this machine has; yield its name."""
    for number, (name, words) in enumerate(_COLLATIONS.items()):
        try:
            postgres.execute(f"CREATE DATABASE collation_{number} TEMPLATE template0 {words}")
        except RuntimeError as error:
            print(f"{name} is left out: {error}")
        else:
            yield name


@contextmanager
def _working(postgres: PostgresServer, name: str) -> Iterator[Arena]:
    """Open an arena on a database of this collation, with an API and a worker."""
    with arena(POSTLUDE_POSTGRES, postgres, template=f"collation_{[*_COLLATIONS].index(name)}") as opened:
        opened.serve()
        opened.work()
        yield opened


def _in_turn(names: list[str], number: int) -> list[str]:
    """Return the names in another order each time: whoever comes second finds a busier machine."""
    start = number % len(names)
    return names[start:] + names[:start]


def _drain_s(opened: Arena) -> float:
    return ends_within_s(opened, "/v1/jobs/batch", {"jobs": [{"kind": "bench_noop", "args": {}}] * _JOBS}, _JOBS)


if __name__ == "__main__":
    main()
