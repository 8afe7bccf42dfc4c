"""The inbox as `postlude dev` sees it: wanted where no mail server is named."""

from importlib.util import find_spec

from service.errors import StartRefused
from service.feature import DevServer
from service.settings import Settings


async def _run(settings: Settings) -> None:
    from service.mail.inbox import run

    await run(settings)


def _check(settings: Settings) -> bool:
    """Say whether mail stays here. Raises `StartRefused` where the packages for it are missing."""
    if settings.smtp_url is not None:
        return False
    if find_spec("aiosmtpd") is None:
        raise StartRefused(
            "the mail inbox needs the package aiosmtpd. "
            "Run `pip install aiosmtpd`, or set POSTLUDE_SMTP_URL to a mail server."
        )
    return True


def _banner(settings: Settings, url: str) -> str:
    return "  Mail   goes out through POSTLUDE_SMTP_URL" if settings.smtp_url else f"  Inbox  {url}/inbox"


INBOX = DevServer(
    "inbox",
    about="Run the mail inbox for development: an SMTP server that keeps all mail in the data dir.",
    run=_run,
    check=_check,
    banner=_banner,
)
