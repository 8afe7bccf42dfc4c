"""New args are refused if they name files that do not exist, because the attempt would not find them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import from_json

from jobs import Catalogue, Kind
from jobs.kit.file_ids import files_in
from service import agreed_time
from service.errors import MOST_ERRORS, ArgsInvalid
from service.ledger.ledger import Ledger
from service.ledger.models import Callback, NewJob
from service.ledger.reads.file_ids import ids_there


class FileCheck:
    """Looks for the files that args name; with an `owner`, only for its own.

    Reads the ledger only if args name any.
    """

    def __init__(self, ledger: Ledger, catalogue: Catalogue, owner: str | None = None) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._owner = owner

    async def check_jobs(self, jobs: Sequence[NewJob], *place: str) -> None:
        """Raise `ArgsInvalid` if a file is missing. `place` is where the list of jobs is in the request."""
        await self._check(_named_by_all(jobs, place))

    async def check_flow(self, jobs: Sequence[NewJob], callbacks: Sequence[Callback]) -> None:
        """Raise `ArgsInvalid` if a flow, or what is enqueued at its end, names a missing file."""
        later = [one for callback in callbacks for one in _named_later(callback, [])]
        await self._check([*_named_by_all(jobs, ["jobs"]), *later])

    async def _check(self, named: Sequence["_Named"]) -> None:
        if missing := await self._missing({file_id for one in named for file_id in one.files}):
            errors: list[dict[str, Any]] = []
            for one in named:
                if not missing.isdisjoint(one.files):
                    errors += _errors(self._catalogue[one.kind].load_args(one.args), missing, one.place)
            raise _refusal(errors)

    async def check_args(self, kind: Kind[Any, Any], args: BaseModel) -> None:
        """Raise `ArgsInvalid` if new args of a job or a schedule name a missing file."""
        if (named := kind.files_of(args)) and (missing := await self._missing(set(named))):
            raise _refusal(list(_errors(args, missing, ["args"])))

    async def _missing(self, named: set[str]) -> set[str]:
        if not named:
            return named
        async with self._ledger.read() as connection:
            return named - await ids_there(connection, named, agreed_time.now(), owner=self._owner)


class _Named(NamedTuple):
    """Files that args name, and where the args are in a request."""

    files: Sequence[str]
    kind: str
    args: str
    place: Sequence[str | int]


def may_name_files(job: NewJob) -> bool:
    """Whether there may be files to check: most jobs name none, and have no callbacks."""
    return bool(job.files or job.callbacks)


def _named_by_all(jobs: Sequence[NewJob], place: Sequence[str]) -> list[_Named]:
    return [one for number, job in enumerate(jobs) for one in _named_by(job, [*place, number] if place else [])]


def _named_by(job: NewJob, place: Sequence[str | int]) -> Iterator[_Named]:
    if job.files:
        yield _Named(job.files, job.kind, job.args, [*place, "args"])
    for callback in job.callbacks:
        yield from _named_later(callback, place)


def _named_later(callback: Callback, place: Sequence[str | int]) -> Iterator[_Named]:
    template = from_json(callback.template)
    if files := template.get("files"):
        yield _Named(files, template["kind"], template["args"], [*place, f"on_{callback.event}", "args"])


def _errors(args: BaseModel, missing: set[str], place: Sequence[str | int]) -> Iterator[dict[str, Any]]:
    for one in files_in(args):
        if one.id in missing:
            msg = f"there is no file {one.id!r}: it expired, was deleted, or never was"
            yield {"loc": [*place, *one.place], "msg": msg, "type": "file_unknown"}


def _refusal(errors: list[dict[str, Any]]) -> ArgsInvalid:
    return ArgsInvalid("The args name files that are not there.", errors=errors[:MOST_ERRORS])
