"""What `postlude dev` tells the person at the terminal."""

import contextlib
from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from service.own_command import own_command
from service.settings import Settings

if TYPE_CHECKING:  # the supervisor needs nothing that features import
    from service.feature import DevServer

# A job that every installation can run.
_EXAMPLE = '{"kind": "cleanup", "args": {"dry_run": true}}'


def say(line: str) -> None:
    """Print a line of the supervisor, between the lines of its children."""
    _print(f"[dev] {line}")


def show_banner(settings: Settings, servers: Iterable["DevServer"]) -> None:
    """Print where everything is, and one command to try."""
    _print(banner(settings, servers))


def banner(settings: Settings, servers: Iterable["DevServer"]) -> str:
    url = base_url(settings)
    key = " -H 'authorization: Bearer ONE_OF_YOUR_POSTLUDE_API_KEYS'" if settings.api_keys else ""
    return "\n".join(
        [
            "Postlude",
            f"  API    {url}",
            f"  Docs   {url}/docs",
            *(server.banner(settings, url) for server in servers),
            f"  Data   {settings.data_dir}",
            f"  Look   {own_command()} demo fills an empty ledger with a believable day, from another terminal",
            f"  Try    curl {url}/v1/jobs -H 'content-type: application/json'{key} -d '{_EXAMPLE}'",
            "  Stop   Ctrl-C",
            "",
        ]
    )


def base_url(settings: Settings) -> str:
    """Return the API's address as this machine reaches it."""
    host = settings.host
    with contextlib.suppress(ValueError):  # a name
        address = ip_address(host)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _print(text: str) -> None:
    # A closed terminal or pipe must not keep the supervisor from stopping its children.
    with contextlib.suppress(OSError):
        click.echo(text)
