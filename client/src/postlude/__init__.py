"""The client of Postlude. The names here are imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postlude.async_client import AsyncClient as AsyncClient
    from postlude.calling.refused import CannotTravel as CannotTravel
    from postlude.client import Client as Client
    from postlude.errors import FileDamaged as FileDamaged
    from postlude.errors import NotJson as NotJson
    from postlude.errors import NotPostlude as NotPostlude
    from postlude.errors import NotRepeatable as NotRepeatable
    from postlude.errors import PostludeError as PostludeError
    from postlude.errors import SettingsInvalid as SettingsInvalid
    from postlude.errors import Unreachable as Unreachable
    from postlude.errors import WaitTimedOut as WaitTimedOut
    from postlude.models import File as File
    from postlude.models import Job as Job
    from postlude.new_job import NewJob as NewJob
    from postlude.policy import task as task
    from postlude.problems import Problem as Problem

_PLACES = {
    "AsyncClient": "async_client",
    "CannotTravel": "calling.refused",
    "Client": "client",
    "File": "models",
    "FileDamaged": "errors",
    "Job": "models",
    "NewJob": "new_job",
    "NotJson": "errors",
    "NotPostlude": "errors",
    "NotRepeatable": "errors",
    "PostludeError": "errors",
    "Problem": "problems",
    "SettingsInvalid": "errors",
    "Unreachable": "errors",
    "WaitTimedOut": "errors",
    "task": "policy",
}

__all__ = [*_PLACES]

if not TYPE_CHECKING:  # hidden from type checkers, so that an unknown name stays an error

    def __getattr__(name: str) -> Any:
        if name not in _PLACES:
            raise AttributeError(f"module 'postlude' has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"postlude.{_PLACES[name]}"), name)
        return found
