"""The mail feature: the SMTP client that jobs send through, its words on recipients, and the dev inbox."""

from typing import TYPE_CHECKING

from service.feature import Feature, Pages
from service.mail.capability import open_mail
from service.mail.dev import INBOX
from service.mail.purge import PURGE
from service.mail.tables import mail_recipients

if TYPE_CHECKING:
    from fastapi import APIRouter


def _pages() -> "APIRouter":
    from service.mail.pages import router

    return router


FEATURE = Feature(
    "mail",
    tables=(mail_recipients,),
    pages=Pages(_pages, title="Mail", path="/mail", letter="m"),
    purge=PURGE,
    capability=open_mail,
    dev=INBOX,
)
