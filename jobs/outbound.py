"""What `Context.http` may raise beside httpx's own errors."""

from ipaddress import IPv4Address, IPv6Address

import httpx


class AddressRefused(httpx.ConnectError):
    """The host is, or resolves to, an address that is not public and that the settings do not allow."""

    def __init__(self, host: str, address: IPv4Address | IPv6Address):
        what = f"{host} is" if host == str(address) else f"{host} resolves to {address},"
        super().__init__(
            f"{what} not a public address. To reach it all the same, name its network in POSTLUDE_WEBHOOK_ALLOW."
        )
        self.host = host
        self.address = address
