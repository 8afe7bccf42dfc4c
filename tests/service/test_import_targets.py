"""POSTLUDE_IMPORT_TARGETS is read, or refused in words that say what is wrong and show no secret."""

import pytest
from pydantic import ValidationError

from service.import_targets import KindSettings, TableSettings, read_targets
from service.settings import Settings, describe_invalid


def test_targets_are_tables_and_kinds() -> None:
    said = '{"a": {"table": "t", "url": "postgresql://u:pw@h/d", "schema": "s", "key": ["id"]}, "b": {"kind": "k"}}'
    table, kind = read_targets(said).values()
    assert isinstance(table, TableSettings)
    assert isinstance(kind, KindSettings)
    assert table.url is not None
    assert table.url.get_secret_value() == "postgresql+asyncpg://u:pw@h/d"
    assert (table.in_schema, table.key, kind.batch) == ("s", ("id",), 1_000)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("{", "must be a JSON object such as"),
        ('{"a": 1}', "must be a JSON object such as"),
        ('{"a": {}}', "the target 'a' must have either a table or a kind"),
        ('{"a": {"table": "t", "kind": "k"}}', "must have either a table or a kind"),
        ('{"a": {"table": "t", "tabel": 1}}', "the target 'a' cannot be used: tabel"),
        ('{"a": {"table": "t", "url": "mysql://u:secret@h/d"}}', "must begin with postgresql:// or sqlite:///"),
        ('{"a": {"kind": "k", "batch": 0}}', "batch"),
    ],
)
def test_what_cannot_be_used_is_refused_at_the_start(said: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(import_targets=said)
    told = describe_invalid(refused.value)
    assert told.startswith("POSTLUDE_IMPORT_TARGETS: ")
    assert words in told
    assert "secret" not in told


def test_children_read_the_same_targets() -> None:
    said = '{"a": {"table": "t", "columns": ["x", "y"]}}'
    assert Settings(import_targets=said).variables()["POSTLUDE_IMPORT_TARGETS"] == said
