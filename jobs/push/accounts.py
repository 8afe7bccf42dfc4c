"""Whom pushes come from: what the kinds need of the feature that reads the settings."""

from typing import Protocol

import httpx


class Fcm(Protocol):
    """The Firebase project of the settings."""

    @property
    def messages_url(self) -> httpx.URL:
        """Where its messages are sent."""
        ...

    async def access_token(self, http: httpx.AsyncClient) -> str:
        """Return the token that lets us send; all callers share one fetch. Raises the errors of `failures`."""
        ...

    def forget(self, access_token: str) -> None:
        """Fetch a new token for the next caller: this one was refused."""
        ...


class Vapid(Protocol):
    """The key pair of the settings, by which push services know us (RFC 8292)."""

    def authorization_for(self, endpoint: httpx.URL) -> str:
        """Return the header `Authorization` of a post to a subscription's endpoint."""
        ...


class PushAccounts(Protocol):
    """Both accounts; each raises `NotSetUp` if the settings have none."""

    @property
    def fcm(self) -> Fcm: ...

    @property
    def vapid(self) -> Vapid: ...
