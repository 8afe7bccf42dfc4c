"""The page of the audit log: what applications recorded, whether it is unchanged, and which job wrote it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.responses import HTMLResponse, StreamingResponse

from service.access.errors import ArgsHidden
from service.access.principal import Scope
from service.audit_log.chain import Kept, Keys
from service.audit_log.checking import EndVerdict, Verdict, check_end, check_page
from service.audit_log.exporting import begin_export
from service.audit_log.places import cursor_behind, moment_of, read_cursor
from service.audit_log.reads import Ends, Wanted, hashes_of, list_entries, read_ends, said
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.web.cursor import Text
from service.web.moments import day_or_moment
from service.web.page import Page, PageDep
from service.web.page_route import page_router

router = page_router(Scope.ADMIN)

PAGE = 50


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry as readers see it; `at` is None if it can no longer be read as a time."""

    entry: Mapping[str, Any]
    at: datetime | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class AuditLogPage:
    """`ends` says where the whole log begins and ends, and `end` whether the entries agree.

    `older` is the cursor of the next page; None if no time on this page can be read.
    """

    rows: Sequence[EntryRow]
    ends: Ends
    end: EndVerdict
    has_older: bool
    older: str | None

    def judged(self, *verdicts: Verdict) -> int:
        return sum(row.verdict in verdicts for row in self.rows)


async def read_log(ledger: Ledger, wanted: Wanted, keys: Keys, *, sees_args: bool) -> AuditLogPage:
    async with ledger.read() as connection:
        found = await list_entries(connection, wanted, PAGE + 1)
        before = await hashes_of(connection, [entry.seq - 1 for entry in found])
        # Read last: if entries are pruned between the reads, the oldest one shown is the oldest that is left.
        ends = await read_ends(connection)
    shown, has_older = found[:PAGE], len(found) > PAGE
    verdicts = check_page(shown, before, ends, keys)
    return AuditLogPage(
        rows=[_row(*pair, sees_args=sees_args) for pair in zip(shown, verdicts, strict=True)],
        ends=ends,
        end=check_end(shown, ends),
        has_older=has_older,
        older=cursor_behind(shown) if has_older else None,
    )


def _row(entry: Kept, verdict: Verdict, *, sees_args: bool) -> EntryRow:
    shown = said(entry) if sees_args else said(entry) | {"origin": None, "data": None}
    return EntryRow(shown, moment_of(entry.at), verdict)


async def _wanted(
    actor: Text = "",
    action: Text = "",
    target: Text = "",
    after: Text = "",
    before: Text = "",
    page: Annotated[str | None, Query(alias="cursor")] = None,
) -> Wanted:
    """Read the filter; an empty field filters nothing."""
    named = (actor.strip() or None, action.strip() or None, target.strip() or None)
    return Wanted(*named, day_or_moment(after), day_or_moment(before), read_cursor(page))


@router.get("/audit-log")
async def audit_log(page: PageDep, wanted: Annotated[Wanted, Depends(_wanted)]) -> HTMLResponse:
    keys, sees_args = Keys(page.resources.settings.audit_log_keys), page.principal.sees_args
    shown = await in_time(read_log(page.resources.ledger, wanted, keys, sees_args=sees_args))
    return await page.render(
        "audit_log/list.html",
        title="Audit log",
        section="audit_log",
        shown=shown,
        asked=_asked(page),
        is_later=wanted.beyond is not None,
        sees_args=sees_args,
    )


@router.get("/audit-log/export")
async def download(page: PageDep) -> StreamingResponse:
    """Download all entries in order, as lines of JSON. A download that breaks off is incomplete."""
    if not page.principal.sees_args:
        raise ArgsHidden("Args are hidden from you, and so are the contents of entries.")
    headers = {"Content-Disposition": 'attachment; filename="audit-log.jsonl"', "Cache-Control": "no-store"}
    lines = await begin_export(page.resources.ledger.database)
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


def _asked(page: Page) -> dict[str, str]:
    """Return the parameters of the filter that are set, as they were sent."""
    return {name: value for name, value in page.request.query_params.items() if value and name != "cursor"}
