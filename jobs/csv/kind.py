"""The kind `import_csv`: the rows of a CSV file go into a target, each of them once."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs.csv.args import ImportCsvArgs
from jobs.csv.columns import Column
from jobs.csv.errors_file import written
from jobs.csv.records import BadRow
from jobs.csv.result import SHOWN, FirstRows, ImportCsvResult, first_errors, result_of
from jobs.csv.source import Form, Source, check_unchanged, form_of, opened
from jobs.csv.targets import Import, ImportTargets, Standing, Target
from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.files import StoredFile
from jobs.kit.outcomes import Discard, Snooze
from jobs.kit.retry import RetryPolicy

_ROWS_AT_ONCE = 2_000
# Of an attempt's time. The rest of the file is for the next attempt, which costs nothing.
_SHARE_OF_TIME = 0.5
_PROGRESS_EVERY_S = 1.0
_LARGEST_PROGRESS = 2**31 - 1


class TooManyBadRows(Discard):
    """More rows are bad than the args allow."""


@job("import_csv", timeout=3600, max_attempts=20, retry=RetryPolicy(base=2, cap=300))
async def import_csv(ctx: Context, args: ImportCsvArgs) -> ImportCsvResult:
    """Put the rows of a CSV file into a table, or hand them to a kind: each row once, however often the job runs.

    Rows go in by batches, each in one transaction with the import's position, so that an attempt continues where
    the one before it ended. Bad rows are left out, and listed in a file with their lines and reasons. `dry_run` shows
    what was detected in the file, and what would fail.
    """
    wanted = Import(ctx.job_id, ctx.attempt, args.target, args.on_conflict, tuple(args.key), args.file, ctx.enqueue)
    target = await ctx.capability(ImportTargets).open(wanted)
    file = await ctx.files.get(args.file)
    async with ctx.files.local(args.file) as path:
        if args.dry_run:
            return await _rehearse(ctx, args, target, path, file)
        standing = await target.take_over()
        form = await _form(ctx, args, target.columns, path, file, standing)
        with opened(path, form, args, target.columns) as source:
            standing = standing or await target.begin(form.written())
            standing = await _write_all(ctx, args, target, source, standing, file)
            return await _ended(ctx, target, source, standing, file)


async def _form(
    ctx: Context,
    args: ImportCsvArgs,
    columns: Sequence[Column] | None,
    path: Path,
    file: StoredFile,
    standing: Standing | None,
) -> Form:
    """Return what the first attempt detected, or detect it."""
    if standing is None:
        return await ctx.thread(form_of, path, args, columns, file.sha256)
    form = Form.read(standing.form)
    check_unchanged(form, args, file.sha256)
    return form


async def _write_all(
    ctx: Context, args: ImportCsvArgs, target: Target, source: Source, standing: Standing, file: StoredFile
) -> Standing:
    """Write batch after batch. Raises `TooManyBadRows`, and `Snooze` when half of the attempt's time is up."""
    progress = _Progress(ctx, file.size)
    while True:
        await _refuse_more(ctx, args, target, standing, file)
        most = standing.planned or args.batch_size or target.batch_size or _ROWS_AT_ONCE
        batch = await ctx.thread(source.next, most, standing.rows)
        if batch is None:
            return standing
        standing = await target.write(batch, standing)
        await progress.note(source.bytes_read)
        if progress.is_time_up:
            raise Snooze("the import goes on in the next attempt", after=0)


async def _refuse_more(ctx: Context, args: ImportCsvArgs, target: Target, standing: Standing, file: StoredFile) -> None:
    if standing.failed > args.max_errors:
        errors = await _errors_file(ctx, target, file)
        good = standing.rows - standing.failed
        raise TooManyBadRows(
            f"{standing.failed:,} of the first {standing.rows:,} rows are bad, and max_errors is {args.max_errors:,}."
            f" The other {good:,} have gone in and stay; the rest of the file was not read. The file {errors} says what"
            " is wrong."
        )


async def _ended(ctx: Context, target: Target, source: Source, standing: Standing, file: StoredFile) -> ImportCsvResult:
    if not standing.failed:
        return result_of(source, standing)
    errors = await _errors_file(ctx, target, file)
    first = [bad async for bad in _first(target)]
    return result_of(source, standing, errors_file=errors, first_errors=first_errors(first))


async def _first(target: Target) -> Any:
    left = SHOWN
    async for bad in target.bad_rows():
        yield bad
        left -= 1
        if not left:
            return


async def _errors_file(ctx: Context, target: Target, file: StoredFile) -> str:
    name = f"{Path(file.name).stem or 'import'}-errors.csv"
    stored = await ctx.files.store(written(target.bad_rows()), name=name, content_type="text/csv")
    return stored.id


async def _rehearse(ctx: Context, args: ImportCsvArgs, target: Target, path: Path, file: StoredFile) -> ImportCsvResult:
    """Do everything without leaving anything behind, for at most half of the attempt's time."""
    form = await ctx.thread(form_of, path, args, target.columns, file.sha256)
    progress, standing = _Progress(ctx, file.size), Standing()
    first_rows = FirstRows()
    bad: list[BadRow] = []
    with opened(path, form, args, target.columns) as source:
        most = args.batch_size or target.batch_size or _ROWS_AT_ONCE
        while not progress.is_time_up and (batch := await ctx.thread(source.next, most, standing.rows)) is not None:
            tried = await target.rehearse(batch)
            first_rows.take(batch)
            bad += tried.bad[: SHOWN - len(bad)]
            standing = replace(
                standing,
                rows=standing.rows + batch.count,
                inserted=standing.inserted + tried.inserted,
                updated=standing.updated + tried.updated,
                skipped=standing.skipped + tried.skipped,
                failed=standing.failed + len(tried.bad),
            )
            await progress.note(source.bytes_read)
        return result_of(
            source,
            standing,
            dry_run=True,
            is_whole=not progress.is_time_up,
            first_rows=first_rows.shown,
            first_errors=first_errors(bad),
        )


class _Progress:
    """Reports once a second how much of the file is read, and knows when to leave the rest to the next attempt."""

    def __init__(self, ctx: Context, size: int) -> None:
        self._ctx = ctx
        self._size = size
        self._unit = 1 + size // _LARGEST_PROGRESS
        self._noted_at = 0.0
        self._ends_at = time.monotonic() + _SHARE_OF_TIME * ctx.timeout.total_seconds()

    async def note(self, read: int) -> None:
        now = time.monotonic()
        if now >= self._noted_at + _PROGRESS_EVERY_S or read >= self._size:
            self._noted_at = now
            await self._ctx.progress(read // self._unit, self._size // self._unit)

    @property
    def is_time_up(self) -> bool:
        return time.monotonic() >= self._ends_at
