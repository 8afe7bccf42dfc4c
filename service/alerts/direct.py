"""Performs a kind right here, past the ledger and the queue: a report that they are away must not need them."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from jobs import Context
from service.alerts.telling import Errand
from service.job_resources import open_job_resources
from service.resources import Resources

_WITHIN_S = 30.0


async def perform_directly(resources: Resources, errand: Errand, job_id: str) -> None:
    """Perform an errand. Raises whatever its kind raises, or `TimeoutError`."""
    kind = resources.catalogue[errand.kind]
    args = kind.args_model.model_validate(errand.args)
    async with asyncio.timeout(_WITHIN_S), open_job_resources(resources) as tools:
        await kind.call(
            Context(
                job_id=job_id,
                kind=kind.name,
                attempt=1,
                created_at=datetime.now(UTC),
                http=tools.http,
                ledger=tools.retention,
                session=_no_session,
                progress=_no_progress,
                enqueue=_no_enqueue,
                capabilities={**tools.capabilities, **_words_of_nobody()},
            ),
            args,
        )


def _words_of_nobody() -> Mapping[Any, Any]:
    """Return the stand-in for the record of mail servers' answers; nothing if the product sends no mail."""
    try:
        from jobs.email.words import RecipientWords
    except ModuleNotFoundError:
        return {}
    return {RecipientWords: _Forgetful()}


class _Forgetful:
    """Keeps no answers of mail servers: there may be no ledger to keep them in."""

    async def read(self, job_id: str) -> Mapping[str, Any]:
        return {}

    async def keep(self, job_id: str, words: Mapping[str, Any]) -> None:
        pass


async def _no_progress(done: int, total: int | None = None) -> None:
    pass


def _no_session() -> NoReturn:
    raise NotImplementedError("no alert needs the ledger")


def _no_enqueue(*_args: Any, **_options: Any) -> NoReturn:
    raise NotImplementedError("no alert enqueues")
