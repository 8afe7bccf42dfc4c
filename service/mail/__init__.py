"""The mail feature: the SMTP client that jobs send through, its words on recipients, and the dev inbox."""

from typing import TYPE_CHECKING

from service.feature import Feature, Pages
from service.mail.capability import open_mail
from service.mail.dev import INBOX
from service.mail.purge import PURGE
from service.mail.tables import mail_recipients
from service.settings import Settings

if TYPE_CHECKING:
    from fastapi import APIRouter


def _pages() -> "APIRouter":
    from service.mail.pages import router

    return router


def _keeps_mail(settings: Settings) -> bool:
    return settings.smtp_url is None


FEATURE = Feature(
    "mail",
    tables=(mail_recipients,),
    pages=Pages(_pages, path="/inbox", about="the mails that jobs sent", are_shown=_keeps_mail),
    purge=PURGE,
    capability=open_mail,
    dev=INBOX,
)
