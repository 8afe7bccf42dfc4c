"""What `call_app` needs of the feature: where apps are, and how to reach them."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import httpx

from jobs.kit.masking import Masks
from jobs.webhook.signature import SECRET_PREFIX, secret_key

PATH = "_postlude"


@dataclass(frozen=True)
class App:
    """A registered app: where its functions are called, and what signs the calls."""

    url: str
    secret: str = field(repr=False)

    @cached_property
    def calls_url(self) -> httpx.URL:
        """Where its functions are called. Raises `httpx.InvalidURL`."""
        return httpx.URL(f"{self.url.rstrip('/')}/{PATH}")

    @cached_property
    def masks(self) -> Masks:
        """Removes its secret from its answers, however it is written there."""
        return Masks([self.secret, self.bare_secret, secret_key(self.secret)])

    @cached_property
    def bare_secret(self) -> str:
        return self.secret.removeprefix(SECRET_PREFIX).rstrip("=")


class Apps(Protocol):
    """The registered apps."""

    @property
    def http(self) -> httpx.AsyncClient:
        """A client that reaches public addresses, and the networks of `POSTLUDE_APP_ALLOW`."""
        ...

    async def find(self, name: str) -> App | None:
        """Return the app of this name, at most a second old. Raises `NotReadable`."""
        ...


class NotReadable(Exception):
    """The place of apps cannot be read: the ledger's database does not answer."""
