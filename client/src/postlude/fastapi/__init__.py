"""FastAPI's background tasks, as jobs.

    from postlude.fastapi import BackgroundTasks, Postlude

    app = FastAPI()
    Postlude(app)

`BackgroundTasks` replaces FastAPI's own: the service records added tasks before the response
starts, and runs them in this app.
"""

from postlude.calling.refused import CannotTravel
from postlude.fastapi.auditing import Audit, Auditor, audit_by
from postlude.fastapi.collecting import BackgroundTasks
from postlude.fastapi.handle import Handle
from postlude.fastapi.postlude import Postlude
from postlude.fastapi.tasks import Tasks

__all__ = ["Audit", "Auditor", "BackgroundTasks", "CannotTravel", "Handle", "Postlude", "Tasks", "audit_by"]
