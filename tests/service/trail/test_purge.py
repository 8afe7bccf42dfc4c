from datetime import timedelta

from sqlalchemy import update

from service import agreed_time
from service.access_tables import trail
from service.ledger.ledger import Ledger
from service.trail import Trail
from service.trail.purge import purge_trail
from tests.service.trail.test_trail import Someone, read
from tests.support.writing import writing


async def test_only_what_is_older_than_the_trails_own_age_is_deleted(ledger: Ledger) -> None:
    for number in range(3):
        async with Trail(ledger.database).action(Someone(), "cancel", "job", str(number)):
            pass
    async with writing(ledger.database) as connection:
        long_ago = agreed_time.now() - timedelta(days=401)
        await connection.execute(update(trail).where(trail.c.target != "2").values(at=long_ago))
    for dry_run in (True, False):
        assert await purge_trail(ledger.database, kept_for=timedelta(days=400), dry_run=dry_run) == 2
    assert [one.target for one in await read(ledger)] == ["2"]
