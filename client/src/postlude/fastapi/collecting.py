"""The dependency that gives a request its tasks."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import fastapi
from starlette.requests import HTTPConnection

from postlude.fastapi.annotation import as_class
from postlude.fastapi.request import RequestTasks
from postlude.fastapi.tasks import Tasks


async def collect(connection: HTTPConnection, own: fastapi.BackgroundTasks) -> AsyncIterator[Tasks]:
    """Give the request's one `Tasks`. A request that raises enqueues nothing."""
    request = RequestTasks.of(connection.scope)
    try:
        yield request.beside(own)
    except BaseException:
        request.drop()
        raise


if TYPE_CHECKING:
    BackgroundTasks = Annotated[Tasks, fastapi.Depends(collect)]
else:
    BackgroundTasks = as_class(Annotated[Tasks, fastapi.Depends(collect)], instead_of=fastapi.BackgroundTasks)
"""In the place of FastAPI's own. In an annotation, it is the request's; called, it makes tasks by hand."""
