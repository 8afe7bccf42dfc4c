"""What `postlude dev` tells the person at the terminal."""

import contextlib

import click

from service.dev import servers
from service.settings import Settings

# Of a kind that every installation has.
_EXAMPLE = '{"kind": "cleanup", "args": {"dry_run": true}}'


def say(line: str) -> None:
    """Print a line of the supervisor's own, between the children's."""
    _print(f"[dev] {line}")


def show_banner(settings: Settings) -> None:
    """Print where everything is, and one command to try."""
    _print(banner(settings))


def banner(settings: Settings) -> str:
    url = base_url(settings)
    key = " -H 'authorization: Bearer ONE_OF_YOUR_POSTLUDE_API_KEYS'" if settings.api_keys else ""
    return "\n".join(
        [
            "Postlude",
            f"  API    {url}",
            f"  Docs   {url}/docs",
            *(server.banner(settings, url) for server in servers.offered()),
            f"  Data   {settings.data_dir}",
            f"  Try    curl {url}/v1/jobs -H 'content-type: application/json'{key} -d '{_EXAMPLE}'",
            "  Stop   Ctrl-C",
            "",
        ]
    )


def base_url(settings: Settings) -> str:
    """Return the API's address as this machine reaches it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - read, not bound
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _print(text: str) -> None:
    # A closed terminal or pipe must not keep the supervisor from stopping its children.
    with contextlib.suppress(OSError):
        click.echo(text)
