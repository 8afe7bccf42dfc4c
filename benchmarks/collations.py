"""What it costs that Postgres compares text by the rules of a language: `python -m benchmarks.collations`.

No-op jobs go through databases of one server that differ in their collation alone, in turns: from the request that
enqueues all of them to the end of the last one. Collations that this machine does not have are left out;
`localedef -i en_US -f UTF-8 en_US.UTF-8` makes the usual one.
"""

import argparse
import random
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.arena import Arena, arena, postgres_server
from benchmarks.cases.flow_diamond import ends_within_s
from benchmarks.contenders import POSTLUDE_POSTGRES
from tests.support.servers import PostgresServer

_JOBS = 4_000
# The first one is what docs/production.md says; the others are compared with it.
_COLLATIONS = ("C", "C.UTF-8", "en_US.UTF-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=16)
    wanted = parser.parse_args()
    with postgres_server() as postgres, ExitStack() as stack:
        arenas = {name: stack.enter_context(_working(postgres, name)) for name in _here(postgres)}
        for opened in arenas.values():
            _through_s(opened)
        turns = [{name: _through_s(arenas[name]) for name in _shuffled([*arenas])} for _ in range(wanted.turns)]
    print(f"\n| collation | {_JOBS:,} jobs, ms | times the first |\n|---|---:|---:|")
    for name in arenas:
        took = statistics.median(turn[name] for turn in turns)
        ratios = [turn[name] / turn[_COLLATIONS[0]] for turn in turns]
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {1000 * took:.0f} | {told} |")


def _here(postgres: PostgresServer) -> Iterator[str]:
    """Make a template for each collation that this machine has; yield the collation."""
    for name in _COLLATIONS:
        made = f"CREATE DATABASE {_template(name)} TEMPLATE template0 LC_COLLATE '{name}' LC_CTYPE 'C.UTF-8'"
        try:
            postgres.execute(made)
        except RuntimeError as error:
            print(f"{name} is left out: {error}")
        else:
            yield name


def _template(name: str) -> str:
    return f'"collated {name}"'


@contextmanager
def _working(postgres: PostgresServer, name: str) -> Iterator[Arena]:
    """Open an arena on a database of this collation, with an API and a worker."""
    with arena(POSTLUDE_POSTGRES, postgres, template=_template(name)) as opened:
        opened.serve()
        opened.work()
        yield opened


def _shuffled(names: list[str]) -> list[str]:
    """Return the names in another order each time: what one leaves to do takes time from the next."""
    return random.sample(names, len(names))


def _through_s(opened: Arena) -> float:
    return ends_within_s(opened, "/v1/jobs/batch", {"jobs": [{"kind": "bench_noop", "args": {}}] * _JOBS}, _JOBS)


if __name__ == "__main__":
    main()
