"""The imports feature: where `import_csv` takes rows, and how far each import is."""

from service.feature import Feature, Purge
from service.imports.capability import open_targets
from service.imports.records import delete_imports
from service.imports.tables import import_errors, imports

FEATURE = Feature(
    "imports",
    tables=(imports, import_errors),
    purge=Purge(of_jobs=delete_imports),
    capability=open_targets,
)
