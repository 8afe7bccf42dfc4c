"""Alembic's entry: runs the migrations on the connection that `service.ledger.migrate` hands over."""

from alembic import context

from service.ledger.all_tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=context.config.attributes.get("version_table", "alembic_version"),
)
context.run_migrations()
