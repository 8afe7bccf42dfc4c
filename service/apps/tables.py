"""The apps whose functions are called back."""

from sqlalchemy import Column, MetaData, String, Table, Text

from service.ledger.sealed import SealedColumn
from service.tables import Moment

metadata = MetaData()

apps = Table(
    "apps",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("url", Text, nullable=False, comment="where it serves; its functions are called at /_postlude below it"),
    Column("secret", Text, nullable=False, comment="signs the calls; never shown"),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False, comment="when the address or the secret was changed"),
)

SECRET = SealedColumn(apps, "secret")
