"""FastAPI's background tasks, as jobs.

    from postlude.fastapi import BackgroundTasks, Postlude

    app = FastAPI()
    Postlude(app)

`BackgroundTasks` takes the place of FastAPI's own: what is added to it is recorded by the service before the response
starts, and the service has it run in this app.
"""

from postlude.calling.refused import CannotTravel
from postlude.fastapi.auditing import Audit, Auditor, audit_by
from postlude.fastapi.collecting import BackgroundTasks
from postlude.fastapi.handle import Handle
from postlude.fastapi.postlude import Postlude
from postlude.fastapi.tasks import Tasks

__all__ = ["Audit", "Auditor", "BackgroundTasks", "CannotTravel", "Handle", "Postlude", "Tasks", "audit_by"]
