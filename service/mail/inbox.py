"""The mail inbox for development: a real SMTP server on a Unix socket, which keeps every mail and sends none."""

import asyncio
import signal
from pathlib import Path

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from service import logs, runtime_folder
from service.errors import StartRefused
from service.mail.mailbox import Mailbox
from service.settings import Settings

SIZE_LIMIT_BYTES = 25 * 1024 * 1024
# An inbox that a killed supervisor leaves behind ends by itself within this time.
_PREDECESSOR_ENDS_S = 8.0

log = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Take mail until SIGTERM or SIGINT. Raises `StartRefused`."""
    logs.configure(settings.log_level, settings.log_format)
    socket = settings.socket_path("inbox.sock")
    await _prepare(settings, socket)
    server = await _listen(socket, Mailbox(settings.inbox_dir))
    stop = _stop_signal()
    log.info("inbox_open", socket=str(socket), folder=str(settings.inbox_dir))
    try:
        await stop.wait()
    finally:
        server.close()
        socket.unlink(missing_ok=True)
        runtime_folder.clean_up(settings, socket)


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _prepare(settings: Settings, socket: Path) -> None:
    settings.inbox_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    runtime_folder.prepare(settings, socket)
    try:
        async with asyncio.timeout(_PREDECESSOR_ENDS_S):
            while await _is_answered(socket):  # noqa: ASYNC110 - nothing reports another process' end
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise StartRefused(f"an inbox already runs on {socket}. Stop that one first.") from None


async def _is_answered(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    writer.close()
    return True


async def _listen(socket: Path, mailbox: Mailbox) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    handler = _Keeper(mailbox)

    def converse() -> SMTP:
        # Without a hostname, aiosmtpd asks the DNS for one.
        return SMTP(handler, data_size_limit=SIZE_LIMIT_BYTES, enable_SMTPUTF8=True, hostname="localhost", loop=loop)

    # asyncio removes a socket that a killed inbox left behind.
    return await loop.create_unix_server(converse, socket)


class _Keeper:
    """The handler that aiosmtpd calls for each mail."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        assert isinstance(envelope.content, bytes)
        try:
            # Nothing is awaited between the file and the answer, so no stop comes between them.
            mail_id = self._mailbox.keep(
                envelope.content, sender=envelope.mail_from or "", recipients=envelope.rcpt_tos
            )
        except OSError as error:
            log.error("mail_not_kept", reason=str(error))
            return f"452 4.3.1 the mail cannot be kept: {error.strerror}"
        log.info("mail_kept", id=mail_id, recipients=len(envelope.rcpt_tos))
        return f"250 2.0.0 kept as {mail_id}"
