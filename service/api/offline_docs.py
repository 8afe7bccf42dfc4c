"""`/docs` and `/redoc`, with everything that they load served from here, so that they work without the internet."""

from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

# What FastAPI's own pages load from a CDN. The package is located, not imported: its module makes an app.
_ASSETS = files("fastapi_offline") / "static"
_PATH = "/docs/assets"
# The browser refuses anything these scripts would load from elsewhere, such as Redoc's logo.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


# For an app without FastAPI's own pages (`docs_url=None, redoc_url=None`). No function here holds the app: FastAPI
# remembers the functions of routes for as long as the process lives.
router = APIRouter(include_in_schema=False)
_assets = StaticFiles(directory=str(_ASSETS))


@router.get(f"{_PATH}/{{path:path}}")  # `Allow` would not list the methods of a mount
async def asset(path: str, request: Request) -> Response:
    return await _assets.get_response(path, request.scope)


@router.get("/docs")
async def swagger(request: Request) -> HTMLResponse:
    root = _root(request)
    page = get_swagger_ui_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title=f"{request.app.title}: API",
        swagger_js_url=f"{root}{_PATH}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{_PATH}/swagger-ui.css",
        swagger_favicon_url=f"{root}{_PATH}/favicon.png",
        # Otherwise the description is sent to swagger.io for validation.
        swagger_ui_parameters={"validatorUrl": None},
    )
    page.headers.update(_HEADERS)
    return page


@router.get("/redoc")
async def redoc(request: Request) -> HTMLResponse:
    root = _root(request)
    page = get_redoc_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title=f"{request.app.title}: API",
        redoc_js_url=f"{root}{_PATH}/redoc.standalone.js",
        redoc_favicon_url=f"{root}{_PATH}/favicon.png",
        with_google_fonts=False,
    )
    page.headers.update(_HEADERS)
    return page


def _root(request: Request) -> str:
    """Return the prefix that a proxy has removed from the path."""
    return str(request.scope.get("root_path", "")).rstrip("/")
