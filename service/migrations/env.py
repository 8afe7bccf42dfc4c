"""Alembic's entry: runs the migrations on the connection that `service.ledger.migrate` hands over."""

from alembic import context

from jobs.stats.tables import metadata as jobs_metadata
from service.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=[metadata, jobs_metadata])
context.run_migrations()
