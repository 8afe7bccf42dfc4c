"""`postlude demo`: fills an empty ledger with a believable day, and takes it away again."""

import asyncio
import os
import time
from typing import TYPE_CHECKING

import click

from service.own_command import own_command

if TYPE_CHECKING:
    from service.settings import Settings


@click.command()
@click.option("--remove", is_flag=True, help="Remove it again: all jobs tagged demo, and all recorded with them.")
def demo(remove: bool) -> None:
    """Fill an empty ledger with a believable day, to look at.

    Some 5,000 jobs of 24 hours, an outage, a deploy, flows, schedules and operations. Nothing is sent: every job has
    ended, or waits in a held lane. It fills the ledger named in the settings, like `postlude dev`, which may be
    running.
    """
    from service.settings import Settings, describe_unknown

    for sentence in describe_unknown(os.environ):
        click.echo(f"warning: {sentence}", err=True)
    asyncio.run((_remove if remove else _fill)(Settings()))


async def _fill(settings: "Settings") -> None:
    import jobs
    from service.demo.filling import Filling
    from service.errors import StartRefused
    from service.features import FEATURES
    from service.ledger.migrate import upgrade
    from service.ledger_place import ledger_place
    from service.resources import open_resources

    if settings.alert_to:
        raise StartRefused("POSTLUDE_ALERT_TO is set, so the demo's troubles would be reported there. Unset it first.")
    _be_quiet()
    began = time.monotonic()
    catalogue = jobs.load(settings.jobs)
    async with open_resources(settings, catalogue, features=FEATURES) as resources:
        if settings.database_url is None:
            await upgrade(settings, [feature.schema for feature in FEATURES])
        filling = Filling(resources.ledger, resources.queue, catalogue, click.echo)
        count = await filling.fill()
    click.echo(
        f"{count:,} jobs in {time.monotonic() - began:.0f} s, in {ledger_place(settings)}."
        f" `{own_command()} dev` shows them; `{own_command()} demo --remove` takes them away."
    )


async def _remove(settings: "Settings") -> None:
    from jobs import Catalogue
    from service.demo.removing import Removing
    from service.features import FEATURES
    from service.ledger_place import refuse_missing_ledger
    from service.resources import open_resources
    from service.words import counted

    _be_quiet()
    refuse_missing_ledger(settings)
    async with open_resources(settings, Catalogue(), features=FEATURES) as resources:
        count = await Removing(resources.ledger, resources.queue).remove()
    if not count:
        click.echo("There are no jobs of the demo.")
        return
    click.echo(f"{counted(count, 'job')} of the demo deleted, with all that was recorded about them.")


def _be_quiet() -> None:
    """Say nothing about a Redis that is not running yet: the worker tells it about the lanes before anything else."""
    from service import logs

    logs.configure("ERROR", "console")
