"""Where the outboxes are: in the ledger's own database, and in those that POSTLUDE_OUTBOX_URLS names."""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import make_url

from service.settings import Settings

LEDGER = "ledger"


class Place(NamedTuple):
    """A database with an outbox. Its `name` holds no secret; there is no `url` for the ledger's own."""

    name: str
    url: str | None


def places_of(settings: Settings) -> list[Place]:
    """Return the places that the settings name, each once."""
    given = (url.get_secret_value() for url in settings.outbox_urls)
    return [Place(LEDGER, None), *_named(url for url in given if url != settings.sqlalchemy_url)]


def _named(urls: Iterator[str]) -> Iterator[Place]:
    taken: set[str] = set()
    for url in urls:
        name = base = name_of(url)
        number = 1
        while name in taken:
            name = f"{base} ({(number := number + 1)})"
        taken.add(name)
        yield Place(name, url)


def name_of(url: str) -> str:
    """Name a database for people: its host and its name. A password may also be in the query of its URL."""
    made = make_url(url)
    if made.get_backend_name() == "sqlite":
        return str(made.database)
    hosts = made.query.get("host", ())
    host = made.host or ",".join((hosts,) if isinstance(hosts, str) else hosts) or "localhost"
    return f"{host}{f':{made.port}' if made.port else ''}/{made.database or made.username or ''}"[:200]
