"""Outboxes are named so that people know them, and nobody learns a password."""

import pytest

from service.outbox.places import LEDGER, name_of, places_of
from service.settings import Settings


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://app:s3cr3t@db.example.com:5433/shop", "db.example.com:5433/shop"),
        ("postgresql://app:s3cr3t@/shop?host=/run/postgres&sslpassword=s3cr3t", "/run/postgres/shop"),
        ("postgresql://app:s3cr3t@db.example.com", "db.example.com/app"),
        ("sqlite:////srv/shop.db", "/srv/shop.db"),
    ],
)
def test_a_name_says_where_and_holds_no_secret(url: str, name: str) -> None:
    assert name_of(url) == name


def test_each_database_is_taken_once_and_the_ledgers_always() -> None:
    shop, other = "postgresql://a:x@db/shop", "postgresql://b:y@db/shop"
    settings = Settings(
        database_url="sqlite:////srv/ledger.db", outbox_urls=f"{shop},{shop},{other},sqlite:////srv/ledger.db"
    )
    assert [place.name for place in places_of(settings)] == [LEDGER, "db/shop", "db/shop (2)"]


def test_passwords_are_masked_wherever_settings_are_shown() -> None:
    settings = Settings(outbox_urls="postgresql://app:s3cr3t@db/shop")
    assert "s3cr3t" not in repr(settings)
    assert Settings(outbox_urls=settings.variables()["POSTLUDE_OUTBOX_URLS"]) == settings
