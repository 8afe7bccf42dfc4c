"""The inbox as `postlude dev` sees it: without a mail server in the settings, all mail stays here."""

from importlib.util import find_spec

from service.errors import StartRefused
from service.feature import DevServer
from service.settings import Settings


def keeps_mail(settings: Settings) -> bool:
    """Whether all mail stays here, because the settings name no mail server."""
    return settings.smtp_url is None


def _check() -> None:
    if find_spec("aiosmtpd") is None:
        raise StartRefused(
            "the mail inbox needs the package aiosmtpd. "
            "Run `pip install aiosmtpd`, or set POSTLUDE_SMTP_URL to a mail server."
        )


async def _run(settings: Settings) -> None:
    from service.mail.inbox import run

    await run(settings)


def _banner(settings: Settings, url: str) -> str:
    return f"  Inbox  {url}/inbox" if keeps_mail(settings) else "  Mail   goes out through POSTLUDE_SMTP_URL"


INBOX = DevServer("inbox", is_wanted=keeps_mail, check=_check, run=_run, banner=_banner)
