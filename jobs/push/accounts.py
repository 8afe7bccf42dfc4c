"""Whom pushes are from: what the kinds ask of the feature that reads the settings."""

from typing import Protocol

import httpx


class Fcm(Protocol):
    """The Firebase project of the settings."""

    @property
    def messages_url(self) -> httpx.URL:
        """Where its messages are sent."""
        ...

    async def access_token(self, http: httpx.AsyncClient) -> str:
        """Return what lets us send; all who wait share one fetch. Raises the errors of `failures`."""
        ...

    def forget(self, access_token: str) -> None:
        """Fetch another one for the next who asks: this one was refused."""
        ...


class Vapid(Protocol):
    """The key pair of the settings, by which push services know us (RFC 8292)."""

    def authorization_for(self, endpoint: httpx.URL) -> str:
        """Return the header `Authorization` of a post to a subscription's endpoint."""
        ...


class PushAccounts(Protocol):
    """Both; each raises `NotSetUp` where the settings have none."""

    @property
    def fcm(self) -> Fcm: ...

    @property
    def vapid(self) -> Vapid: ...
