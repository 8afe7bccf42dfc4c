"""The pages of mails: whether they go out, and the dev inbox, with each mail and all that is in it."""

import asyncio

from fastapi.responses import HTMLResponse

from service.ledger.deadline import in_time
from service.mail.dev import keeps_mail
from service.mail.mailbox import Mailbox
from service.mail.reading import read_mail_page
from service.web.page import Page, PageDep
from service.web.page_route import page_router

router = page_router()

# A browser gets slow beyond this.
_SHOWN_CHARACTERS = 200_000


@router.get("/mail")
async def mails(page: PageDep) -> HTMLResponse:
    """Say whether mails go out."""
    shown = await in_time(read_mail_page(page.resources, page.lanes, page.principal))
    return await page.render("mail/overview.html", title="Mail", section="mail", shown=shown)


@router.get("/inbox")
async def inbox(page: PageDep) -> HTMLResponse:
    """List the newest mails."""
    mailbox = _mailbox(page)
    if mailbox is None:
        return await _no_inbox(page)
    shown, total = await asyncio.to_thread(lambda: (mailbox.newest(), len(mailbox)))
    folder = page.resources.settings.inbox_dir
    return await page.render(
        "mail/inbox.html", title="Inbox · Mail", section="mail", mails=shown, total=total, folder=folder
    )


@router.get("/inbox/{mail_id}")
async def mail(page: PageDep, mail_id: str) -> HTMLResponse:
    """Show one mail; its HTML as source, since it is as foreign as any mail's."""
    mailbox = _mailbox(page)
    if mailbox is None:
        return await _no_inbox(page)
    found = await asyncio.to_thread(mailbox.read, mail_id)
    title = "No such mail" if found is None else found.subject or "(no subject)"
    return await page.render(
        "mail/mail.html",
        title=f"{title} · Mail",
        section="mail",
        status=404 if found is None else 200,
        heading=title,
        mail=found,
        shown=_SHOWN_CHARACTERS,
    )


def _mailbox(page: Page) -> Mailbox | None:
    """Return the mailbox; None if there is none, or if the caller may not see args."""
    settings = page.resources.settings
    return Mailbox(settings.inbox_dir) if keeps_mail(settings) and page.principal.sees_args else None


async def _no_inbox(page: Page) -> HTMLResponse:
    return await page.render(
        "mail/inbox.html", title="Inbox · Mail", section="mail", status=404, mails=None, total=0, folder=""
    )
