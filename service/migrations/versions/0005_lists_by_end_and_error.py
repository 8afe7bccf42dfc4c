"""Lists by the end of jobs, and by the type of their error.

Revision: 0005
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from service.ledger.later_indexes import create, create_later, replace_later

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


def upgrade() -> None:
    replace_later("jobs_finished", "jobs", ["finished_at", "id"], _TERMINAL)
    for name, (columns, where) in _NEW.items():
        create_later(name, "jobs", columns, where)


def downgrade() -> None:
    for name in _NEW:
        op.drop_index(name, table_name="jobs")
    op.drop_index("jobs_finished", table_name="jobs")
    create("jobs_finished", "jobs", ["finished_at"], _TERMINAL)
