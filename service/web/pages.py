"""What all pages share: templates, the stylesheet, and headers that forbid everything else."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

router = APIRouter(include_in_schema=False)

_STYLE = Path(__file__).with_name("static") / "style.css"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Templates:
    """The templates in a package's folder `templates`. They may extend `layout.html`, which all pages share."""

    def __init__(self, package: str) -> None:
        self._environment = Environment(
            loader=ChoiceLoader([PackageLoader(package), PackageLoader("service.web")]),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )

    def render(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Fill in a template. Whatever the values hold, the page can load nothing but the stylesheet."""
        return HTMLResponse(
            self._environment.get_template(template).render(values, root=request.scope.get("root_path", "")),
            status,
            headers=_HEADERS,
        )


@router.get("/style.css")
async def style() -> FileResponse:
    return FileResponse(_STYLE, media_type="text/css", headers={"Cache-Control": "max-age=300"})
