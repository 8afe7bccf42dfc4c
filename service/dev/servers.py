"""The servers that features offer for development."""

from service.errors import StartRefused
from service.feature import DevServer
from service.features import FEATURES
from service.settings import Settings


def offered() -> list[DevServer]:
    """Return all servers, in the order of the features."""
    return [feature.dev for feature in FEATURES if feature.dev is not None]


def wanted(settings: Settings) -> list[DevServer]:
    """Return the servers that are of use with these settings."""
    return [server for server in offered() if server.is_wanted(settings)]


async def run(name: str, settings: Settings) -> None:
    """Run the server of this name until a signal. Raises `StartRefused`."""
    for server in offered():
        if server.name == name:
            return await server.run(settings)
    raise StartRefused(f"no feature in service/features.py offers a server {name!r}.")
