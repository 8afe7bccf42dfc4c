"""Who takes part, and in which set-up."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEERS = ".venv-bench"
ARDIQ = ".venv-bench-ardiq"  # ardiq needs Python 3.12, and the project runs on 3.11 too


@dataclass(frozen=True)
class Contender:
    """A library in one set-up. `jobs` is how many no-op jobs it drains: a few seconds' worth.

    `grown` is how many jobs already wait in its ledger, and how many have ended, before it begins. `limit` is the means
    by which it holds jobs back; see `benchmarks.surroundings`. `root` is the checkout that its processes run in; see
    `benchmarks.base`.
    """

    name: str
    peer: str
    variant: str = ""
    jobs: int = 20_000
    slots: int = 100
    workers: int = 1
    is_async: bool = True
    own_python: bool = False
    environment: str = PEERS
    root: Path = ROOT
    in_quick: bool = True
    grown: int = 0
    limit: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        """The Python of the environment that it is installed in: the checkout's own, or one for peers."""
        if not self.own_python:
            return ROOT / self.environment / "bin" / "python"
        return Path(sys.executable) if self.root == ROOT else self.root / ".venv" / "bin" / "python"

    @property
    def is_installed(self) -> bool:
        return self.python.exists()

    @property
    def is_postlude(self) -> bool:
        return self.peer == "postlude"


POSTLUDE_SQLITE = Contender("Postlude, SQLite", "postlude", "sqlite", jobs=200_000, own_python=True)
POSTLUDE_POSTGRES = Contender("Postlude, Postgres", "postlude", "postgres", jobs=200_000, own_python=True)
TUNED_ARQ = Contender("tuned arq", "arq", "tuned", jobs=5_000, own_python=True)

POSTGRES_PEER = Contender("PgQueuer", "pgqueuer", jobs=60_000)

CONTENDERS = (
    POSTLUDE_SQLITE,
    POSTLUDE_POSTGRES,
    Contender("arq, defaults", "arq", "defaults", jobs=1_000, slots=10, own_python=True, in_quick=False),
    TUNED_ARQ,
    Contender("SAQ", "saq", jobs=5_000),
    Contender("ardiq", "ardiq", jobs=120_000, environment=ARDIQ),
    Contender("streaQ", "streaq", jobs=3_000, in_quick=False),
    Contender("Taskiq", "taskiq", jobs=5_000, in_quick=False),
    Contender("Dramatiq", "dramatiq", jobs=8_000, is_async=False, in_quick=False),
    Contender("Huey", "huey", jobs=5_000, is_async=False, in_quick=False),
    Contender("Celery", "celery", jobs=2_000, is_async=False, in_quick=False),
    Contender("RQ", "rq", jobs=2_000, is_async=False, in_quick=False),
    Contender("repid, no results kept", "repid", in_quick=False),
    POSTGRES_PEER,
)
