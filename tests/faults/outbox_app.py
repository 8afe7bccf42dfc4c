"""An application: orders, each with a job, in transactions of which some are rolled back. Writes until it is killed.

`python -m tests.faults.outbox_app URL SEED`. What it has committed is what stands in the table `orders`.
"""

import asyncio
import random
import sys

from postlude import outbox
from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tests.faults.orders import orders

_ROLLED_BACK = 0.2


class RolledBack(Exception):
    """The application has changed its mind."""


async def main(url: str, seed: str) -> None:
    engine = create_async_engine(url, pool_pre_ping=True)
    await asyncio.gather(*(_order(engine, random.Random(f"{seed} {number}")) for number in range(4)))


async def _order(engine: AsyncEngine, chance: random.Random) -> None:
    while True:
        try:
            async with engine.begin() as connection:
                await _place(connection, chance)
        except (SQLAlchemyError, OSError, RolledBack):
            await asyncio.sleep(0.02)


async def _place(connection: AsyncConnection, chance: random.Random) -> None:
    # A little later, so that no attempt runs while its worker is killed for other reasons.
    job_id = await outbox.enqueue(connection, "fault_once", delay=chance.uniform(0, 2))
    await asyncio.sleep(chance.uniform(0, 0.02))
    await connection.execute(insert(orders).values(job_id=job_id))
    if chance.random() < _ROLLED_BACK:
        raise RolledBack


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
