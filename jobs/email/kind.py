"""Hands a mail to the mail server, until it has given its final word on each recipient."""

from collections.abc import Mapping

from pydantic import BaseModel, Field

from jobs.email.answers import Answer, Word
from jobs.email.args import SendEmailArgs
from jobs.email.errors import RecipientsRefused
from jobs.email.message import message_of
from jobs.email.transaction import Told, transact
from jobs.email.words import keep_words, read_words
from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.outcomes import PartialResult
from jobs.kit.retry import RetryPolicy

_MINUTE, _HOUR = 60.0, 3600.0
# RFC 5321, 4.5.4.1: half an hour between tries, until four to five days have passed. The first tries come sooner: a
# relay restarts within a minute, and greylisting lets a mail pass after five.
_SCHEDULE = RetryPolicy(
    delays=(_MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, *(30 * _MINUTE,) * 3, _HOUR, 2 * _HOUR)
)
_MAX_ATTEMPTS = 60  # within four and a half days


class SendEmailResult(BaseModel, PartialResult):
    message_id: str
    accepted: list[str]
    refused: dict[str, str] = Field(description="For each refused address the mail server's answer.")

    @property
    def shortfall(self) -> Exception | None:
        return RecipientsRefused(f"refused for good: {_listed(self.refused)}") if self.refused else None


# All mail goes to the one server in the settings, which only workers read.
_LANE = "smtp:default"


# The answer to the final dot may take 10 minutes (RFC 5321, 4.5.3.2.6): giving up earlier would send the mail twice.
@job("send_email", timeout=720, max_attempts=_MAX_ATTEMPTS, retry=_SCHEDULE, lane=_LANE)
async def send_email(ctx: Context, args: SendEmailArgs) -> SendEmailResult:
    """Hand a message to the mail server, under the same Message-ID on every attempt.

    Each recipient is either accepted or refused for good. Until then they are retried for four and a half
    days, without sending to anybody twice. It succeeds when nobody is left and at least one was accepted; the result
    says who was refused, and the job then shows the error `RecipientsRefused`. A replay retries those who were not
    accepted.
    """
    message, sender = message_of(ctx, args)
    words = await read_words(ctx) if len(args.recipients) > 1 else {}
    told, asked = Told({}), [address for address in args.recipients if address not in words]
    waiting: dict[str, Answer] = {}
    while asked:
        told = await transact(ctx.mailer, message, sender.address, asked)
        final, passing = _parted(told.answers)
        words, waiting = words | final, _without(waiting, final) | passing
        if waiting and words:
            await keep_words(ctx, words)
        asked = told.left_over
    if waiting:
        raise told.deferred_as(_account(told, words, waiting))
    return _ended(ctx, message["Message-ID"], args, told, words)


def _ended(
    ctx: Context, message_id: str, args: SendEmailArgs, told: Told, words: Mapping[str, Answer]
) -> SendEmailResult:
    """Return the result or raise the refusal, once there is a final word on every recipient."""
    refused = {address: words[address].text for address in args.recipients if words[address].word is Word.REFUSED}
    accepted = [address for address in args.recipients if address not in refused]
    if not accepted:
        raise told.refused_as(told.reason or f"all recipients were refused: {_listed(refused)}")
    if refused:
        ctx.log.warning("recipients_refused", refused=refused, accepted=accepted)
    return SendEmailResult(message_id=message_id, accepted=accepted, refused=refused)


def _parted(answers: Mapping[str, Answer]) -> tuple[dict[str, Answer], dict[str, Answer]]:
    final = {address: answer for address, answer in answers.items() if answer.word is not Word.WAITING}
    return final, _without(answers, final)


def _without(answers: Mapping[str, Answer], others: Mapping[str, Answer]) -> dict[str, Answer]:
    return {address: answer for address, answer in answers.items() if address not in others}


def _account(told: Told, words: Mapping[str, Answer], waiting: Mapping[str, Answer]) -> str:
    """Say who got the mail and who did not: only the last attempt's account remains to be read."""
    refused = {address: answer.text for address, answer in words.items() if answer.word is Word.REFUSED}
    accepted = [address for address, answer in words.items() if answer.word is Word.ACCEPTED]
    parts = [told.reason] if told.reason else []
    if words or not told.reason:
        parts.append(f"not delivered: {_listed({address: answer.text for address, answer in waiting.items()})}")
    if refused:
        parts.append(f"refused for good: {_listed(refused)}")
    if accepted:
        parts.append(f"delivered: {', '.join(accepted)}")
    return ". ".join(parts)


def _listed(answers: Mapping[str, str]) -> str:
    """List addresses with their answers, grouping addresses with the same answer."""
    by_answer: dict[str, list[str]] = {}
    for address, text in answers.items():
        by_answer.setdefault(text, []).append(address)
    return "; ".join(f"{', '.join(addresses)}: {text}" for text, addresses in by_answer.items())
