"""Lists by the end of jobs, and by the type of their error.

Revision: 0005
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TERMINAL = "(state || '') IN ('succeeded', 'failed', 'cancelled')"
_NEW: dict[str, tuple[list[Any], str]] = {
    "jobs_failed": (["finished_at", "id"], "(state || '') = 'failed'"),
    "jobs_cancelled": (["finished_at", "id"], "(state || '') = 'cancelled'"),
    "jobs_by_error": ([sa.text("substr(error_type, 1, 100)"), "created_at", "id"], "error_type IS NOT NULL"),
}


def _create(name: str, columns: list[Any], where: str) -> None:
    op.create_index(name, "jobs", columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))


def upgrade() -> None:
    op.drop_index("jobs_finished", table_name="jobs")
    _create("jobs_finished", ["finished_at", "id"], _TERMINAL)
    for name, (columns, where) in _NEW.items():
        _create(name, columns, where)


def downgrade() -> None:
    for name in _NEW:
        op.drop_index(name, table_name="jobs")
    op.drop_index("jobs_finished", table_name="jobs")
    _create("jobs_finished", ["finished_at"], _TERMINAL)
