"""Real SMTP servers on loopback: aiosmtpd, and one that answers what a test tells it to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

# Made anew for each run: an authority that only these tests know, and the servers' certificate.
AUTHORITY = trustme.CA()
_CERTIFICATE = AUTHORITY.issue_cert("localhost", "127.0.0.1")


@dataclass
class Inbox:
    """Keeps the envelopes that aiosmtpd takes, and who logged in."""

    port: int = 0
    envelopes: list[Envelope] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        self.envelopes.append(envelope)
        assert server.transport is not None
        self.secure.append(server.transport.get_extra_info("sslcontext") is not None)
        return "250 2.0.0 kept"

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _way: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login.decode(), given.password.decode()))
        return AuthResult(success=given.password != b"wrong", handled=False)


@asynccontextmanager
async def open_inbox(
    *,
    socket: Path | None = None,
    implicit_tls: bool = False,
    starttls: bool = False,
    auth: bool = False,
) -> AsyncIterator[Inbox]:
    """Run aiosmtpd on a free port of 127.0.0.1, or on a Unix socket."""
    loop = asyncio.get_running_loop()
    inbox = Inbox()
    tls = _server_tls()

    def converse() -> SMTP:
        return SMTP(
            inbox,
            hostname="localhost",
            enable_SMTPUTF8=True,
            tls_context=tls if starttls else None,
            authenticator=inbox.authenticate if auth else None,
            auth_require_tls=starttls,
            loop=loop,
        )

    if socket is not None:
        server = await loop.create_unix_server(converse, socket)
    else:
        server = await loop.create_server(converse, "127.0.0.1", 0, ssl=tls if implicit_tls else None)
        inbox.port = server.sockets[0].getsockname()[1]
    try:
        yield inbox
    finally:
        server.close()
        await server.wait_closed()


def _server_tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _CERTIFICATE.configure_cert(context)
    return context


HANG_UP = "hang up"
SAY_NOTHING = "say nothing"
Script = str | Callable[[str], str]


@dataclass
class ScriptedServer:
    """Return the answer whose key is the longest prefix of the received line; a function is called with the line.

    `""` is the greeting, `.` the end of a message. An answer that ends with `HANG_UP` is the last one.
    """

    answers: Mapping[str, Script]
    port: int = 0
    lines: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    most_at_once: int = 0
    open: int = 0
    none_open: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.none_open.clear()
        self.most_at_once = max(self.most_at_once, self.open)
        try:
            if await self._answer(writer, self._script(self.answers.get("", "220 ready"), "")):
                await self._converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            if not self.open:
                self.none_open.set()
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            line = (await reader.readuntil(b"\r\n")).decode(errors="replace").rstrip()
            self.lines.append(line)
            answer = self._for(line)
            if not await self._answer(writer, answer):
                return
            if answer.startswith("354"):
                self.messages.append(await reader.readuntil(b"\r\n.\r\n"))
                if not await self._answer(writer, self._for(".")):
                    return

    def _for(self, line: str) -> str:
        usual: dict[str, Script] = {"DATA": "354 go on", "QUIT": "221 bye", "": "250 ok"}
        known = {**usual, **{key: value for key, value in self.answers.items() if key}}
        return self._script(known[max((key for key in known if line.startswith(key)), key=len)], line)

    def _script(self, script: Script, line: str) -> str:
        return script if isinstance(script, str) else script(line)

    async def _answer(self, writer: asyncio.StreamWriter, answer: str) -> bool:
        said = answer.removesuffix(HANG_UP)
        if said not in ("", SAY_NOTHING):
            writer.write(said.encode("latin-1") + b"\r\n")
            await writer.drain()
        return said == answer


@asynccontextmanager
async def answering(answers: Mapping[str, Script] | None = None) -> AsyncIterator[ScriptedServer]:
    """Run a scripted server on a free port of 127.0.0.1."""
    scripted = ScriptedServer(answers or {})
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    async with server:
        yield scripted


def at_most(number: int, answer: str = "452 4.5.3 too many recipients") -> dict[str, Script]:
    """Take this many recipients in one transaction, and give the others this answer."""
    taken = 0

    def begin(_line: str) -> str:
        nonlocal taken
        taken = 0
        return "250 ok"

    def take(_line: str) -> str:
        nonlocal taken
        taken += 1
        return "250 ok" if taken <= number else answer

    return {"MAIL": begin, "RCPT": take}


def at_first(*answers: str, then: str = "250 ok") -> Callable[[str], str]:
    """Return these answers one after the other, each once for each line, and then always `then`."""
    given: dict[str, int] = {}

    def answer(line: str) -> str:
        given[line] = given.get(line, 0) + 1
        return answers[given[line] - 1] if given[line] <= len(answers) else then

    return answer
