"""All tables of the ledger itself; features have tables of their own."""

from collections.abc import Iterable

from sqlalchemy import Table

from service import (  # noqa: F401 - importing them fills `metadata`
    access_tables,
    alert_tables,
    fact_tables,
    figure_tables,
    flow_tables,
    operation_tables,
    schedule_tables,
    step_tables,
)
from service.ledger.schema import Schema
from service.tables import metadata

__all__ = ["metadata", "tables_of"]


def tables_of(schemas: Iterable[Schema]) -> list[Table]:
    """Return the tables of the ledger and of all features."""
    return [*metadata.tables.values(), *(table for schema in schemas for table in schema.tables)]
