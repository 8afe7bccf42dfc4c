"""URLs to post to: which are allowed, and the lane of their host. Pure."""

from functools import lru_cache
from typing import Annotated

import httpx
from pydantic import AfterValidator, HttpUrl

from jobs.kit.lane import LONGEST_KEY
from jobs.kit.proof import Check

_OWN_PORTS = {"http": 80, "https": 443}


def check_url(url: HttpUrl) -> None:
    """Raise `ValueError` unless the URL can be requested and has no credentials."""
    if url.username is not None or url.password is not None:
        raise ValueError("credentials in the URL are refused; send them as an Authorization header")
    try:
        parsed(str(url))
    except httpx.InvalidURL as error:
        raise ValueError(f"the URL cannot be requested: {error}") from error


Url = Annotated[HttpUrl, AfterValidator(Check(check_url))]


def lane_of(url: HttpUrl) -> str:
    """Return the lane of a URL: `host:` and the requested host, with the port unless it is the scheme's own."""
    host = (url.host or "").rstrip(".")
    port = "" if url.port == _OWN_PORTS.get(url.scheme) else f":{url.port}"
    # No reachable host has a star, or is that long.
    return f"host:{host}{port}".replace("*", "%2A")[:LONGEST_KEY]


@lru_cache(maxsize=1024)
def parsed(url: str) -> httpx.URL:
    """Return a URL as httpx takes it."""
    return httpx.URL(url)
