"""The kind `send_email`: one message to up to 50 recipients, as text, as HTML, or as both."""

from jobs.email.args import SendEmailArgs
from jobs.email.kind import SendEmailResult, send_email

__all__ = ["SendEmailArgs", "SendEmailResult", "send_email"]
