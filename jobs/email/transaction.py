"""One SMTP transaction, and what it means for each recipient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage

from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from jobs.email import answers, errors, mailer_errors
from jobs.email.answers import ACCEPTED, Answer, Word
from jobs.kit.context import Mailer
from jobs.kit.outcomes import Discard, Retry


@dataclass(frozen=True)
class Told:
    """The end of a transaction: an answer for each recipient and, if it went wrong as a whole, the `reason`."""

    answers: Mapping[str, Answer]
    reason: str = ""
    deferred_as: type[Retry] = errors.RecipientsDeferred
    refused_as: type[Discard] = errors.RecipientsRefused
    taken: Sequence[str] = ()

    @property
    def left_over(self) -> list[str]:
        """The recipients that another transaction can reach immediately.

        They were too many for this one, or the server had taken them before it closed the connection.
        """
        if self.taken:
            return list(self.taken)
        if ACCEPTED not in self.answers.values():
            return []
        return [address for address, answer in self.answers.items() if answer.too_many]


async def transact(mailer: Mailer, message: EmailMessage, sender: str, recipients: Sequence[str]) -> Told:
    """Hand the message to the server for `recipients`."""
    try:
        delivery = await mailer.send(message, sender=sender, recipients=recipients)
    except SMTPRecipientsRefused as error:
        return Told({one.recipient: answers.of_recipient(_answer(one)) for one in error.recipients})
    except (SMTPException, OSError) as error:
        return _of_all(recipients, error)
    accepted = dict.fromkeys(delivery.accepted, ACCEPTED)
    return Told(accepted | _of_each(delivery.refused))


def _of_all(recipients: Sequence[str], error: Exception) -> Told:
    """Read an error that affects all recipients, except those refused before it."""
    match error:
        case mailer_errors.DeliveryUnknown():
            told = Told(_waiting(recipients, "no answer"), str(error), errors.DeliveryUnknown)
        case SMTPResponseException(code=421):  # the server closes the connection without a word about the mail
            told = _of_trouble(recipients, error)
        case mailer_errors.ClosedAfter():
            waiting = _waiting(recipients, str(error))
            told = Told(waiting, str(error), errors.MailServerUnreachable, taken=error.taken)
        case SMTPSenderRefused(code=552):  # RFC 1870, 6.1: the message is too large
            told = _of_message(recipients, error)
        case SMTPSenderRefused():
            answer = answers.of_message(_answer(error))
            deferred = errors.MailLoginFailed if error.code in answers.AUTH_CODES else errors.SenderDeferred
            reason = f"the sender {error.sender} was refused: {answer.text}"
            told = Told(dict.fromkeys(recipients, answer), reason, deferred, errors.SenderRefused)
        case SMTPDataError():
            told = _of_message(recipients, error)
        case SMTPNotSupported():
            answer = Answer(Word.REFUSED, str(error))
            told = Told(dict.fromkeys(recipients, answer), str(error), refused_as=errors.MessageRefused)
        case _:
            told = _of_trouble(recipients, error)
    refused_before = _of_each(getattr(error, "refused", {}))
    return replace(told, answers={**told.answers, **refused_before})


def _of_message(recipients: Sequence[str], error: SMTPResponseException) -> Told:
    answer = answers.of_message(_answer(error))
    reason = f"the message was refused: {answer.text}"
    return Told(dict.fromkeys(recipients, answer), reason, errors.MessageDeferred, errors.MessageRefused)


def _of_trouble(recipients: Sequence[str], error: Exception) -> Told:
    reason = _answer(error) if isinstance(error, SMTPResponseException) else str(error)
    return Told(_waiting(recipients, "not tried"), f"{type(error).__name__}: {reason}", _trouble(error))


def _trouble(error: Exception) -> type[Retry]:
    match error:
        case SMTPResponseException(code=421):  # the server closes the connection, whatever was asked
            return errors.MailServerUnreachable
        case SMTPAuthenticationError() | mailer_errors.LoginFailed():
            return errors.MailLoginFailed
        case mailer_errors.TlsFailed():
            return errors.MailTlsFailed
        case _:
            return errors.MailServerUnreachable


def _waiting(recipients: Sequence[str], text: str) -> dict[str, Answer]:
    return dict.fromkeys(recipients, Answer(Word.WAITING, text))


def _of_each(refused: Mapping[str, str]) -> dict[str, Answer]:
    return {address: answers.of_recipient(text) for address, text in refused.items()}


def _answer(error: SMTPResponseException) -> str:
    return f"{error.code} {' '.join(error.message.split())}"
