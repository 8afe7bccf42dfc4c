"""Enqueue within your own database transaction.

`enqueue` inserts one row into the table `postlude_outbox`, over the session that you give it. Rolled back means no job;
committed means exactly one: the service moves committed rows into its ledger. The id of the row, which is made here, is
the id of the job. Any other language may insert the same row; docs/outbox.md describes the table.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from difflib import get_close_matches
from inspect import isawaitable
from json import loads
from typing import TYPE_CHECKING, Any, NoReturn, overload

from pydantic import BaseModel, SecretBytes, SecretStr
from sqlalchemy import BLANK_SCHEMA, DDL, Column, DateTime, MetaData, String, Table, Text, event, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from postlude.errors import PostludeError
from postlude.new_job import NewJob
from postlude.options import JobOptions
from postlude.writing import written

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session
    from typing_extensions import Unpack

__all__ = ["OutboxRefused", "enqueue", "table"]

MAX_ARGS_BYTES = 256 * 1024
_LONGEST_KIND = 100
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# An odd number of backslashes before u0000: no text in a database may contain NUL.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# What Pydantic writes for floats that JSON has no form for, or a text that contains these words.
_NO_NUMBER = re.compile(r"NaN|Infinity")
_OPEN_TO_READ = "would lie open in the outbox: let the kind look it up, or enqueue the job over HTTP"

# Wakes the service as soon as the transaction commits. Without it, polling finds the rows.
_ANNOUNCE = """
CREATE OR REPLACE FUNCTION postlude_outbox_announce() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('postlude_outbox', ''); RETURN NULL; END $$
"""
_TRIGGER = """
CREATE OR REPLACE TRIGGER postlude_outbox_announce AFTER INSERT ON postlude_outbox
FOR EACH STATEMENT EXECUTE FUNCTION postlude_outbox_announce()
"""


class _Now(FunctionElement[Any]):
    """The time of the insertion by the database's clock; on SQLite an RFC 3339 text."""

    inherit_cache = True


@compiles(_Now)
def _now(_element: _Now, _compiler: Any, **_options: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(_Now, "sqlite")
def _now_on_sqlite(_element: _Now, _compiler: Any, **_options: Any) -> str:
    return "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"


def table(metadata: MetaData) -> Table:
    """Add the table to your own `metadata`, for your own migrations.

    It is in the connection's default schema. On Postgres, creating it from the metadata also creates the trigger that
    announces rows; `postlude outbox ddl` prints both.
    """
    outbox = Table(
        "postlude_outbox",
        metadata,
        Column("id", String(36), primary_key=True),
        Column("kind", Text, nullable=False),
        Column("args", Text, nullable=False),
        Column("options", Text, nullable=False, server_default="{}"),
        Column(
            "created_at",
            DateTime(timezone=True).with_variant(Text(), "sqlite"),
            nullable=False,
            server_default=_Now(),
        ),
        schema=BLANK_SCHEMA,
    )
    for statement in (_ANNOUNCE, _TRIGGER):
        event.listen(outbox, "after_create", DDL(statement).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]
    return outbox


_OUTBOX = table(MetaData())


class OutboxRefused(PostludeError, ValueError):
    """No row was written, because no job could be made of it. The message says why."""


@overload
def enqueue(
    session: Session | scoped_session[Any] | Connection,
    kind: str,
    args: Any = None,
    /,
    **options: Unpack[JobOptions],
) -> str: ...
@overload
def enqueue(
    session: AsyncSession | async_scoped_session[Any] | AsyncConnection,
    kind: str,
    args: Any = None,
    /,
    **options: Unpack[JobOptions],
) -> Awaitable[str]: ...
def enqueue(session: Any, kind: str, args: Any = None, /, **options: Unpack[JobOptions]) -> str | Awaitable[str]:
    """Enqueue a job when the transaction of `session` commits, and only then; return the id of the job.

    `session` is a session or a connection of SQLAlchemy; with an asynchronous one, await the result. `args`
    are a dict, a pydantic model or a dataclass. Raises `OutboxRefused` for what visibly cannot become a job, and
    `NotJson`. Errors that only the service can see become a failed job, which says why.
    """
    job = NewJob(kind, args, **options)
    done = session.execute(insert(_OUTBOX).values(_row_of(job)))
    return _when(done, job.id) if isawaitable(done) else job.id


async def _when(done: Awaitable[Any], job_id: str) -> str:
    await done
    return job_id


def _row_of(job: NewJob) -> dict[str, str]:
    if not 1 <= len(job.kind) <= _LONGEST_KIND:
        raise OutboxRefused(f"the name of a kind has 1 to {_LONGEST_KIND} characters")
    if not _UUID7.fullmatch(job.id):
        raise OutboxRefused(f"the id {job.id!r} is not a UUIDv7 in lower case: leave it out, and one is made")
    _check_options(job.options)
    args, options = _json("args", job.args), _json("options", _options_of(job))
    if not args.startswith("{"):
        raise OutboxRefused("the args are not an object: pass a dict, a pydantic model or a dataclass")
    if (size := len(args.encode())) > MAX_ARGS_BYTES:
        raise OutboxRefused(f"the args have {size:,} bytes as JSON, but may have at most {MAX_ARGS_BYTES:,}")
    return {"id": job.id, "kind": job.kind, "args": args, "options": options}


def _check_options(options: Mapping[str, Any]) -> None:
    known = JobOptions.__annotations__
    for name in options.keys() - known.keys():
        near = get_close_matches(name, known, n=1)
        raise OutboxRefused(f"there is no option {name!r}{f'; do you mean {near[0]!r}?' if near else ''}")
    if "run_at" in options and "delay" in options:
        raise OutboxRefused("give run_at or delay, not both")
    run_at = options.get("run_at")
    if isinstance(run_at, datetime) and run_at.tzinfo is None:
        raise OutboxRefused("run_at has no time zone: use one, as in datetime.now(timezone.utc)")
    for name in ("on_success", "on_failure", "on_end"):
        callback = options.get(name)
        if isinstance(callback, Mapping) and callback.get("secret") is not None:
            raise OutboxRefused(f"the secret of {name} {_OPEN_TO_READ}")


def _json(what: str, value: Any) -> str:
    text = written(value).decode()
    for path in _secrets_in(value, what):
        raise OutboxRefused(f"{path} is a secret, and {_OPEN_TO_READ}")
    if _NUL.search(text):
        raise OutboxRefused(f"the {what} contain the character NUL, which cannot be stored")
    if _NO_NUMBER.search(text):
        loads(text, parse_constant=_refuse_constant)
    return text


def _refuse_constant(constant: str) -> NoReturn:
    raise OutboxRefused(f"JSON cannot hold {constant}: give a number, or None")


def _secrets_in(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, (SecretStr, SecretBytes)):
        yield path
    elif isinstance(value, BaseModel):
        yield from _secrets_in(dict(value), path)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _secrets_in({field.name: getattr(value, field.name) for field in fields(value)}, path)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _secrets_in(part, f"{path}.{name}")
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from _secrets_in(part, path)


def _options_of(job: NewJob) -> dict[str, Any]:
    return {name: value for name, value in job.fields().items() if name not in ("id", "kind", "args")}
