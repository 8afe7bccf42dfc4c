"""The catalogue as arq functions, so that arq's worker, ours or its own, performs kinds."""

import asyncio
from dataclasses import dataclass
from typing import Any

import arq.worker

from jobs import Catalogue, Kind
from service import agreed_time
from service.ledger.models import Finished, Started
from service.ledger.states import TERMINAL, Outcome
from service.queue import Claimed, Taken
from service.worker.claiming.claims import Claims
from service.worker.performing.attempt import Performer, performer_of

# Under arq's own class: its limits must never end an attempt, because only the ledger counts.
_STOCK_TIMEOUT_S = 86_400 + 600
_STOCK_MAX_TRIES = 1_000_000


@dataclass
class KindFunction(arq.worker.Function):
    """A kind, as arq's worker knows functions."""


def kind_functions(catalogue: Catalogue) -> list[KindFunction]:
    """Make an arq function of every kind."""
    return [
        KindFunction(
            name=kind.name,
            coroutine=_stock_coroutine(kind),
            timeout_s=_STOCK_TIMEOUT_S,
            keep_result_s=0,
            keep_result_forever=False,
            max_tries=_STOCK_MAX_TRIES,
        )
        for kind in catalogue.values()
    ]


def _stock_coroutine(kind: Kind[Any, Any]) -> Any:
    """Make the function that arq's own class calls for a job of `kind`: it starts and performs it as ours does."""

    async def perform_claimed(ctx: dict[Any, Any], *_args: Any, **_kwargs: Any) -> None:
        performer = performer_of(ctx)
        claimed = Claimed(ctx["job_id"].encode(), performer.resources.settings.queues[0])
        # arq has compared the due time with this machine's clock.
        taken = Taken([claimed], agreed_time.now())
        for started in await Claims(performer.resources, performer.lifecycle, performer.workload).start(taken):
            finished = await _performed(performer, started)
            if finished is not None and finished.state not in TERMINAL:
                # The job is back on the queue with its due time; a bare Retry is arq's way to let it stay there.
                raise arq.worker.Retry

    return perform_claimed


async def _performed(performer: Performer, started: Started) -> Finished | None:
    """Perform an attempt. If arq cancels us because its worker stops, the attempt goes back without cost.

    However often arq cancels, the attempt's end is recorded.
    """
    recorded: asyncio.Future[Finished | None] = asyncio.get_running_loop().create_future()
    performer.begin(started, recorded.set_result)
    try:
        return await asyncio.shield(recorded)
    except asyncio.CancelledError:
        if attempt := performer.workload.attempt_of(started.id):
            attempt.stop(Outcome.INTERRUPTED)
        await asyncio.shield(recorded)
        raise
