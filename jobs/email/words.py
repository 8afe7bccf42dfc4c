"""What the mail server has said of each recipient, kept between the attempts of a job: nobody gets a mail twice."""

import asyncio
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from jobs.email.answers import Answer, Word
from jobs.kit.context import Context
from jobs.stats.tables import insert_into, mail_recipients

_WRITE_AGAIN_S = 1.0


async def read_words(ctx: Context) -> dict[str, Answer]:
    """Read the final words of earlier attempts. Those refused before a replay are asked for again."""
    if ctx.attempt == 1:
        return {}
    table = mail_recipients.c
    statement = select(table.address, table.word, table.answer).where(table.job_id == ctx.job_id)
    async with ctx.session() as session:
        rows = (await session.execute(statement)).all()
    words = {address: Answer(Word(word), answer) for address, word, answer in rows}
    anew = ctx.failures == 0
    return {address: answer for address, answer in words.items() if not (anew and answer.word is Word.REFUSED)}


async def keep_words(ctx: Context, words: Mapping[str, Answer]) -> None:
    """Write final words, however long the database is away: without them another attempt doubles the mail."""
    rows = [
        {"job_id": ctx.job_id, "address": address, "word": answer.word.value, "answer": answer.text}
        for address, answer in words.items()
    ]
    while True:
        try:
            return await _write(ctx, rows)
        except (SQLAlchemyError, OSError) as error:
            ctx.log.warning("recipients_not_recorded_yet", reason=repr(getattr(error, "orig", error)))
            await asyncio.sleep(_WRITE_AGAIN_S)


async def _write(ctx: Context, rows: list[dict[str, str]]) -> None:
    async with ctx.session() as session, session.begin():
        statement = insert_into(session, mail_recipients).values(rows)
        said = {name: statement.excluded[name] for name in ("word", "answer")}
        await session.execute(statement.on_conflict_do_update(index_elements=["job_id", "address"], set_=said))
