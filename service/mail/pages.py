"""The dev inbox's pages: the mails that jobs sent, newest first, and each with all that is in it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from service.mail.dev import keeps_mail
from service.mail.mailbox import Mailbox
from service.web.deps import ResourcesDep
from service.web.guards import PAGE_GUARDS
from service.web.pages import Templates

router = APIRouter(include_in_schema=False, dependencies=PAGE_GUARDS)
_templates = Templates("service.mail")

# A browser gets slow beyond this.
_SHOWN_CHARACTERS = 200_000


async def _mailbox(resources: ResourcesDep) -> Mailbox | None:
    """Return the mailbox; None where there is none, or where callers need a key, which a page cannot carry."""
    settings = resources.settings
    return Mailbox(settings.inbox_dir) if keeps_mail(settings) and not settings.api_keys else None


MailboxDep = Annotated[Mailbox | None, Depends(_mailbox)]


@router.get("/inbox")
def inbox(request: Request, mailbox: MailboxDep, resources: ResourcesDep) -> HTMLResponse:
    """List the newest mails."""
    if mailbox is None:
        return _no_inbox(request, resources)
    return _templates.render(
        request, "inbox.html", mails=mailbox.newest(), total=len(mailbox), folder=resources.settings.inbox_dir
    )


@router.get("/inbox/{mail_id}")
def mail(request: Request, mail_id: str, mailbox: MailboxDep, resources: ResourcesDep) -> HTMLResponse:
    """Show one mail; its HTML as source, since it is as foreign as any mail's."""
    if mailbox is None:
        return _no_inbox(request, resources)
    found = mailbox.read(mail_id)
    if found is None:
        return _templates.render(request, "mail.html", status=404, mail=None)
    return _templates.render(request, "mail.html", mail=found, shown=_SHOWN_CHARACTERS)


def _no_inbox(request: Request, resources: ResourcesDep) -> HTMLResponse:
    setting = "POSTLUDE_API_KEYS" if resources.settings.api_keys else "POSTLUDE_SMTP_URL"
    return _templates.render(request, "inbox.html", status=404, mails=None, setting=setting)
