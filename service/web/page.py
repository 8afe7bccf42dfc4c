"""What the pages of features work with: the shell of every page, which stands above the features."""

from datetime import datetime
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, Response

from service.access.principal import Principal
from service.lanes.lanes import Lanes
from service.resources import Resources
from service.trail import Operator


class Page(Protocol):
    """See `service/dashboard/shell.py`. A template of a feature is named `<feature>/<file>`."""

    @property
    def request(self) -> Request: ...

    @property
    def resources(self) -> Resources: ...

    @property
    def lanes(self) -> Lanes: ...

    @property
    def principal(self) -> Principal: ...

    @property
    def now(self) -> datetime: ...

    @property
    def operator(self) -> Operator: ...

    async def render(
        self, template: str, *, title: str, section: str, status: int = 200, **values: Any
    ) -> HTMLResponse: ...

    def toast(self, words: str, *, detail: str | None = None, back: str | None = None) -> Response: ...


async def _page(request: Request) -> Page:
    page: Page = request.app.state.page_of(request)
    return page


PageDep = Annotated[Page, Depends(_page)]
