"""Exports all jobs that match, as CSV or as JSON lines, page by page, so that no export is ever in memory whole."""

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import structlog
from fastapi.responses import StreamingResponse
from sqlalchemy import RowMapping

from service.access.limits import restricted
from service.dashboard.page_route import page_router
from service.dashboard.shell import HEADERS, Page, PageDep
from service.errors import LedgerUnavailable
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.ledger.reads.listing import Filter
from service.ledger.reads.pages import Page as ListPage
from service.ledger.reads.pages import read_page
from service.tables import moment_text
from service.web.jobs.filters import FilterDep
from service.web.jobs.job_out import JobOut

log = structlog.get_logger(__name__)
router = page_router()

_AT_ONCE = 500
_PLAIN = ("id", "kind", "label", "state", "queue", "priority", "lane", "attempt", "failures", "crashes", "max_attempts")
_MOMENTS = ("created_at", "run_at", "started_at", "finished_at")
_ERROR = ("error_type", "error_message")
_HELD = ("args", "result", "metadata")
# A spreadsheet takes a cell that begins like this for a formula, which may leak the other cells.
_FORMULA = tuple(
    "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)


@router.get("/jobs/export.csv")
async def export_csv(page: PageDep, wanted: FilterDep) -> StreamingResponse:
    """Export as CSV (RFC 4180). Cells that a spreadsheet would take for formulas begin with an apostrophe."""
    columns = (*_PLAIN, *_MOMENTS, *_ERROR, "tags", *(_HELD if page.principal.sees_args else ()))

    def written(rows: Sequence[RowMapping]) -> str:
        return _csv([cell_of(row, name) for name in columns] for row in rows)

    return _download(page, wanted, written, "jobs.csv", "text/csv", head=_csv([columns]))


@router.get("/jobs/export.jsonl")
async def export_json_lines(page: PageDep, wanted: FilterDep) -> StreamingResponse:
    """Export as JSON lines: each is a job as `GET /v1/jobs` shows it."""

    def written(rows: Sequence[RowMapping]) -> str:
        jobs = (JobOut.of_row(row, None, None).shown_to(page.principal) for row in rows)
        return "".join(f"{job.model_dump_json(exclude_unset=True)}\n" for job in jobs)

    return _download(page, wanted, written, "jobs.jsonl", "application/x-ndjson")


def cell_of(row: RowMapping, name: str) -> str | int:
    """Return a cell's text, which a spreadsheet must never execute."""
    value = row[name]
    if value is None:
        return ""
    if name in _MOMENTS:
        return moment_text(value)
    if name == "tags":
        value = " ".join(json.loads(value))
    if isinstance(value, int):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(rows: object) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)  # type: ignore[arg-type]  # an iterable of rows, whatever they are
    return text.getvalue()


def _download(
    page: Page,
    wanted: Filter,
    written: Callable[[Sequence[RowMapping]], str],
    name: str,
    media_type: str,
    *,
    head: str = "",
) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', **HEADERS}
    parts = _parts(page.resources.ledger, restricted(page.principal, wanted), written, head)
    return StreamingResponse(parts, media_type=media_type, headers=headers)


async def _parts(
    ledger: Ledger, wanted: Filter, written: Callable[[Sequence[RowMapping]], str], head: str
) -> AsyncIterator[str]:
    if head:
        yield head
    while True:
        try:
            page = await in_time(_read(ledger, wanted))
        except LedgerUnavailable as error:
            log.warning("export_broken_off", reason=error.detail)
            raise  # cuts the connection, so that nobody takes a part for the whole
        if page.rows:
            yield written(page.rows)
        if page.last is None:
            return
        wanted = replace(wanted, after=page.last)


async def _read(ledger: Ledger, wanted: Filter) -> ListPage:
    async with ledger.read() as connection:
        return await read_page(connection, wanted, _AT_ONCE)
