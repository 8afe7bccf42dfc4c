"""What the mail server said about each recipient, kept between attempts so that nobody gets a mail twice."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from jobs.email.answers import Answer, Word
from jobs.kit.context import Context

_WRITE_AGAIN_S = 1.0


class NotKept(Exception):
    """The database did not take the words, but may take them later."""


class RecipientWords(Protocol):
    """The mail server's final words on the recipients of each job."""

    async def read(self, job_id: str) -> Mapping[str, Answer]:
        """Return the words by address."""
        ...

    async def keep(self, job_id: str, words: Mapping[str, Answer]) -> None:
        """Write words, replacing earlier ones for the same addresses. Raises `NotKept`."""
        ...


async def read_words(ctx: Context) -> dict[str, Answer]:
    """Read the final words of earlier attempts. After a replay, refused recipients are tried again."""
    if ctx.attempt == 1:
        return {}
    words = await ctx.capability(RecipientWords).read(ctx.job_id)
    anew = ctx.failures == 0
    return {address: answer for address, answer in words.items() if not (anew and answer.word is Word.REFUSED)}


async def keep_words(ctx: Context, words: Mapping[str, Answer]) -> None:
    """Write final words, however long the database is away: without them another attempt sends the mail twice."""
    kept = ctx.capability(RecipientWords)
    while True:
        try:
            return await kept.keep(ctx.job_id, words)
        except NotKept as error:
            ctx.log.warning("recipients_not_recorded_yet", reason=str(error))
            await asyncio.sleep(_WRITE_AGAIN_S)
