"""What `migrate.py` needs to know, in a file of its own because API and workers have no use for Alembic (8 MB)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table

MIGRATIONS = Path(__file__).parent.parent / "migrations"
VERSIONS = MIGRATIONS / "versions"
VERSION_TABLE = "alembic_version"


@dataclass(frozen=True)
class Schema:
    """A feature's tables, and the folder of the migrations that have changed them since their first version.

    Its migrations are a chain of their own, recorded in the table `alembic_version_<name>`, so a removed feature leaves
    nothing in the ledger's chain.
    """

    name: str
    tables: Sequence[Table]
    migrations: Path | None = None

    @property
    def version_table(self) -> str:
        return f"{VERSION_TABLE}_{self.name}"
