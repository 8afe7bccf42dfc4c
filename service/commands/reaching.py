"""How the commands reach the service: `--url`, `--key`, and a sentence if it refuses."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import click

from service.commands import text

if TYPE_CHECKING:
    from service.commands.remote import Remote

F = TypeVar("F", bound=Callable[..., Any])

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API sends it.")


class Json(click.ParamType[Any]):
    """A JSON value."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            self.fail(f"{text.one_line(value[:100])} is not JSON", param, ctx)


class Service(NamedTuple):
    """Where the service is, and the key to it."""

    url: str
    key: str | None

    @classmethod
    def at(cls, url: str, key: str | None) -> Service:
        """Read the two options. Raises `click.BadParameter`."""
        url, key = url.strip(), (key or "").strip()
        if not _names_a_server(url):
            raise click.BadParameter(
                f"{text.address(url)} does not begin with http:// or https:// and a host", param_hint="--url"
            )
        if not (key.isascii() and key.isprintable()):
            raise click.BadParameter("a key has only printable ASCII characters", param_hint="--key")
        return cls(url, key or None)


def reaching(group: F) -> F:
    """Add the options `--url` and `--key` to a group of commands."""
    for option in (
        click.option(
            "--key", envvar="POSTLUDE_API_KEY", help="POSTLUDE_API_KEY, which other users of this machine cannot see."
        ),
        click.option(
            "--url", envvar="POSTLUDE_URL", default="http://127.0.0.1:8000", show_default=True, help="POSTLUDE_URL"
        ),
    ):
        group = option(group)
    return group


@contextmanager
def reached(to: Service) -> Iterator[Remote]:
    """Open the service. A refusal ends the command with one sentence."""
    from service.commands.remote import Refusal, Remote

    try:
        with Remote(*to) as remote:
            yield remote
    except Refusal as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


def each(
    sort: str, names: tuple[str, ...], do: Callable[[str], dict[str, Any]], tell: Callable[[dict[str, Any]], str]
) -> None:
    """Do the same to each job or lane; the refusal of one does not stop the others."""
    from service.commands.remote import Refusal, Unreachable

    if not names:
        raise click.UsageError(f"Name at least one {sort}.")
    refused = 0
    for name in [checked_name(sort, name) for name in dict.fromkeys(names)]:
        try:
            click.echo(tell(do(name)))
        except Unreachable:
            raise
        except Refusal as error:
            refused += 1
            click.echo(f"error: {text.one_line(name)}: {error}", err=True)
    if refused:
        sys.exit(1)


def paged(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options `--limit` and `--all` to a command that lists; it gets `limit`, None for all."""

    @click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many.")
    @click.option("--all", "everything", is_flag=True, help="List all of them.")
    @wraps(command)
    def with_limit(*given: Any, limit: int, everything: bool, **others: Any) -> None:
        command(*given, limit=None if everything else limit, **others)

    return with_limit


def show_list(
    members: str, pages: Iterable[dict[str, Any]], table: Callable[..., Iterable[str]], limit: int | None, *,
    as_json: bool,
) -> bool:  # fmt: skip
    """Print pages as they arrive; say so if they end before the list does. Return whether it holds anything."""
    if as_json:
        read = list(pages)
        found = [one for page in read for one in page[members]]
        click.echo(text.as_json({members: found, "next_cursor": read[-1]["next_cursor"]}, indent=2))
        return True
    for number, page in enumerate(pages):
        if not number and not page[members] and not page["next_cursor"]:
            click.echo(f"no {members}", err=True)
            return False
        for line in table(page[members], heading=not number, width=width()):
            click.echo(line)
    if page["next_cursor"]:
        looked = f"searched {page['searched']:,} {members}: --all searches all of them" if "searched" in page else ""
        click.echo(looked or f"there are more than {limit}: --limit or --all shows them", err=True)
    return True


def checked_name(sort: str, name: str) -> str:
    """Return a name, unless no URL could hold it: a name of only dots leads elsewhere."""
    if name.strip(".") == "":
        raise click.UsageError(f"{name!r} is not the name of a {sort}.")
    return name


def given(chosen: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in chosen.items() if value not in (None, ())}


def width() -> int | None:
    """Return the width of the terminal; None if the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def _names_a_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
