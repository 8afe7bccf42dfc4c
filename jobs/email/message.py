"""The message: the same bytes on every attempt."""

import hashlib
import re
from email.message import EmailMessage
from email.policy import SMTP

from jobs.email.args import SendEmailArgs
from jobs.email.headers import line_header, mailboxes_header, text_header
from jobs.email.mailbox import Mailbox, read_mailbox
from jobs.kit.context import Context

# Bodies that any server takes, so that none has to re-encode them.
_ANY_SERVER = SMTP.clone(cte_type="7bit")


def message_of(ctx: Context, args: SendEmailArgs) -> tuple[EmailMessage, Mailbox]:
    """Return the message and its sender."""
    message, sender = EmailMessage(_ANY_SERVER), read_mailbox(args.from_ or ctx.mailer.default_sender)
    message["From"] = mailboxes_header("From", [sender])
    message["Date"] = ctx.created_at
    message["Message-ID"] = line_header("Message-ID", _message_id(ctx.job_id, sender.domain))
    message["Subject"] = text_header("Subject", args.subject)
    # Bcc belongs only in the envelope.
    for name, addresses in (("To", args.to), ("Cc", args.cc), ("Reply-To", [args.reply_to])):
        if mailboxes := [read_mailbox(text) for text in addresses if text is not None]:
            message[name] = mailboxes_header(name, mailboxes)
    if args.text is not None:
        message.set_content(args.text)
    if args.html is not None:
        add = message.set_content if args.text is None else message.add_alternative
        add(args.html, subtype="html")
    return message, sender


def _message_id(job_id: str, domain: str) -> str:
    # An id adopted from an arq client may be any text, and a long one would not fit on the header's line.
    name = job_id if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", job_id) else hashlib.sha256(job_id.encode()).hexdigest()[:40]
    return f"<{name}@{domain}>"
