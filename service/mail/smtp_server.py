"""Reads the settings for mail: where it goes, and how much TLS it needs."""

import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from service.errors import StartRefused

# The words of Postfix' smtp_tls_security_level.
TlsLevel = Literal["none", "may", "encrypt", "verify"]

_PORT, _SUBMISSION_PORT, _SMTPS_PORT = 25, 587, 465


@dataclass(frozen=True)
class SmtpServer:
    """A mail server. `start_tls=None` means TLS if the server offers it, and no TLS if that fails."""

    hostname: str | None = None
    port: int | None = None
    socket_path: Path | None = None
    username: str | None = None
    password: str | None = None
    use_tls: bool = False
    start_tls: bool | None = None
    verify: bool = True
    ca_file: Path | None = None

    @classmethod
    def from_url(cls, url: str, *, tls: TlsLevel | None = None, ca_file: Path | None = None) -> "SmtpServer":
        """Read `smtp://user:pass@host:port` or `smtps://…`. Raises `StartRefused`.

        Without `tls`, a server is verified if it gets a password (and is not this machine), if its URL is `smtps://`,
        or if a CA file is set. Any other server gets TLS if that works (RFC 7435).
        """
        parts = _split(url)
        host = parts.hostname
        secure = parts.scheme == "smtps"
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if not host or parts.scheme not in ("smtp", "smtps"):
            raise _refuse("it begins with smtp:// or smtps:// and names a host")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise _refuse("nothing follows the port")
        if bool(user) != bool(password):
            raise _refuse("it has both a user and a password, or neither")
        secret = bool(user) and not _is_loopback(host)
        level = tls or ("verify" if secure or secret or ca_file else "may")
        _check_level(level, secure=secure, secret=secret)
        return cls(
            hostname=host,
            port=parts.port or (_SMTPS_PORT if secure else _SUBMISSION_PORT if secret else _PORT),
            username=user or None,
            password=password or None,
            use_tls=secure,
            start_tls=False if secure else _START_TLS[level],
            verify=level == "verify",
            ca_file=ca_file,
        )

    def tls_context(self) -> ssl.SSLContext:
        """Make the context for connections. Raises `StartRefused` for a CA file that cannot be read."""
        context = ssl.create_default_context()
        try:
            if self.ca_file is not None:
                context.load_verify_locations(cafile=self.ca_file)
        except OSError as error:  # ssl.SSLError among them
            raise StartRefused(f"POSTLUDE_SMTP_CA_FILE names no file of certificates (PEM): {error}") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


_START_TLS: dict[TlsLevel, bool | None] = {"none": False, "may": None, "encrypt": True, "verify": True}


def _check_level(level: TlsLevel, *, secure: bool, secret: bool) -> None:
    if secure and level == "none":
        raise StartRefused("POSTLUDE_SMTP_TLS=none contradicts POSTLUDE_SMTP_URL=smtps://…: say smtp:// for no TLS.")
    if secret and not secure and level == "may":
        raise StartRefused(
            "POSTLUDE_SMTP_TLS=may would send the password of POSTLUDE_SMTP_URL in the clear to whoever offers no TLS."
            " Say verify or encrypt, or none if you accept that."
        )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # Without the cause, which may quote a part of the password.
        raise _refuse("its host or port is not valid") from None
    return parts


def _refuse(rule: str) -> StartRefused:
    return StartRefused(
        f"POSTLUDE_SMTP_URL cannot be used: {rule}. It reads smtp://user:password@host:port, or smtps://… for TLS from"
        " the start; characters like @ : / # ? % in user and password are percent-encoded."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
