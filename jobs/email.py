"""The kind `send_email`: one message to up to 50 recipients, as text, as HTML, or as both."""

import hashlib
import re
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.utils import unquote
from typing import Annotated, Self

from aiosmtplib import (
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)
from email_validator import validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from jobs.catalogue import job
from jobs.context import Context
from jobs.outcomes import Discard, Retry

MOST_RECIPIENTS = 50

# Authentication required, weak, wrong or not encrypted (RFC 4954, 6): the settings' fault, which somebody will mend.
_AUTH_CODES = {530, 534, 535, 538}


def _check_line(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise ValueError("control characters and line ends are refused here")
    # The email package would decode it, and what it decodes to may hold line ends.
    if re.search(r"=\?.*\?=", text):
        raise ValueError(
            "encoded words (=?charset?...?=) are refused here; write plain Unicode, it is encoded on its way"
        )
    return text


def _check_body(text: str) -> str:
    if re.search(r"[\x00\ud800-\udfff]", text):
        raise ValueError("NUL and lone surrogates are refused here")
    return text


def _check_address(text: str) -> str:
    return str(_mailbox(_check_line(text)))


def _mailbox(text: str) -> Mailbox:
    """Read `ann@example.com` or `Ann <ann@example.com>`; the domain comes out in ASCII. Raises `ValueError`."""
    named = re.fullmatch(r"([^<>]*)<([^<>]*)>", text.strip())
    name, address = named.groups() if named else ("", text)
    read = validate_email(address, check_deliverability=False)
    return Mailbox(unquote(name.strip()), read.local_part, read.ascii_domain)


Address = Annotated[
    str,
    Field(max_length=500, examples=["ann@example.com", "Ann <ann@example.com>"]),
    AfterValidator(_check_address),
]
Body = Annotated[str, AfterValidator(_check_body)]


class SendEmailArgs(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    to: list[Address] = Field(max_length=50)
    subject: Annotated[str, Field(max_length=998), AfterValidator(_check_line)]
    text: Body | None = None
    html: Body | None = None
    cc: list[Address] = Field([], max_length=50)
    bcc: list[Address] = Field([], max_length=50, description="Recipients that the message does not name.")
    reply_to: Address | None = None
    from_: Address | None = Field(None, alias="from", description="Default: POSTLUDE_MAIL_FROM.")

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.text is None and self.html is None:
            raise ValueError("give text, html or both")
        if not 1 <= len(self.to) + len(self.cc) + len(self.bcc) <= MOST_RECIPIENTS:
            raise ValueError(f"to, cc and bcc together hold 1 to {MOST_RECIPIENTS} addresses")
        return self


class SendEmailResult(BaseModel):
    message_id: str
    accepted: list[str]
    refused: dict[str, str] = Field(description="For each refused address the mail server's answer.")


# The answer to the final dot may take 10 minutes (RFC 5321, 4.5.3.2.6): giving up before doubles the mail.
@job("send_email", timeout=720, max_attempts=8)
async def send_email(ctx: Context, args: SendEmailArgs) -> SendEmailResult:
    """Hand a message to the mail server, under the same Message-ID on every attempt.

    It succeeds when the server takes it for at least one recipient; the result says who was refused.
    Passing refusals, no answer and wrong credentials are tried again; a final refusal of the message is final.
    """
    message = _message(ctx, args)
    recipients = [_mailbox(text).addr_spec for text in (*args.to, *args.cc, *args.bcc)]
    [sender] = message["From"].addresses
    try:
        delivery = await ctx.mailer.send(message, sender=sender.addr_spec, recipients=list(dict.fromkeys(recipients)))
    except (SMTPException, OSError) as error:
        raise _judged(error) from error
    if delivery.refused:
        ctx.log.warning("recipients_refused", refused=len(delivery.refused), accepted=len(delivery.accepted))
    return SendEmailResult(
        message_id=message["Message-ID"], accepted=list(delivery.accepted), refused=dict(delivery.refused)
    )


def _message(ctx: Context, args: SendEmailArgs) -> EmailMessage:
    message = EmailMessage()
    message["From"] = args.from_ or ctx.mailer.default_sender
    message["Date"] = ctx.created_at
    message["Message-ID"] = _message_id(ctx.job_id, message["From"].addresses[0].domain)
    message["Subject"] = args.subject
    # Bcc is for the envelope alone.
    for name, addresses in (("To", args.to), ("Cc", args.cc), ("Reply-To", [args.reply_to])):
        if mailboxes := [_mailbox(text) for text in addresses if text is not None]:
            message[name] = mailboxes
    if args.text is not None:
        message.set_content(args.text)
    if args.html is not None:
        add = message.set_content if args.text is None else message.add_alternative
        add(args.html, subtype="html")
    return message


def _message_id(job_id: str, domain: str) -> str:
    # An id adopted from an arq client is any text, and a long one would not fit the header's line.
    name = job_id if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", job_id) else hashlib.sha256(job_id.encode()).hexdigest()[:40]
    return f"<{name}@{domain}>"


def _judged(error: Exception) -> Retry | Discard:
    """Say whether what the mail server answered is final."""
    match error:
        case SMTPRecipientsRefused():
            final = all(_is_final(refusal) for refusal in error.recipients)
            reason = "all recipients were refused: " + "; ".join(
                f"{refusal.recipient}: {_answer(refusal)}" for refusal in error.recipients
            )
        case SMTPSenderRefused():
            final, reason = _is_final(error), f"the sender {error.sender} was refused: {_answer(error)}"
        case SMTPDataError():
            final, reason = _is_final(error), f"the message was refused: {_answer(error)}"
        case SMTPNotSupported():
            final, reason = True, str(error)
        case SMTPResponseException():
            # A refused greeting, hello or login says nothing about the message.
            final, reason = False, f"{type(error).__name__}: {_answer(error)}"
        case _:
            final, reason = False, f"{type(error).__name__}: {error}"
    return Discard(reason) if final else Retry(reason)


def _is_final(error: SMTPResponseException) -> bool:
    if isinstance(error, SMTPRecipientRefused) and error.code == 552:
        return False  # "too many recipients" from older servers (RFC 5321, 4.5.3.1.10)
    return 500 <= error.code <= 599 and error.code not in _AUTH_CODES


def _answer(error: SMTPResponseException) -> str:
    return f"{error.code} {' '.join(error.message.split())}"
