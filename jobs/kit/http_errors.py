"""The errors that `Context.http` raises besides httpx's own."""

from ipaddress import IPv4Address, IPv6Address

import httpx


class NameNotResolved(httpx.ConnectError):
    """The host's name has no address, or no name server answered."""

    def __init__(self, host: str, why: str):
        super().__init__(f"{host} does not resolve: {why}")


class TlsFailed(httpx.ConnectError):
    """The server's certificate is not trusted, or there is no common TLS."""


class NotHttp(httpx.RemoteProtocolError):
    """The server sent something that is not an answer in HTTP/1."""


class AddressRefused(httpx.ConnectError):
    """The host is, or resolves to, an address that is not public and that the settings do not allow."""

    def __init__(
        self, host: str, address: IPv4Address | IPv6Address, *, setting: str = "POSTLUDE_WEBHOOK_ALLOW"
    ) -> None:
        what = f"{host} is" if host == str(address) else f"{host} resolves to {address},"
        super().__init__(f"{what} not a public address. To reach it anyway, name its network in {setting}.")
        self.host = host
        self.address = address
