"""The features of this product, one line for each. All other code finds the features here."""

from importlib import import_module

from service.feature import Feature

# Folders of `service/`, each with a `FEATURE` in its `__init__.py`.
_FOLDERS = (
    "mail",
    "stats",
    "audit_log",
    "files",
    "push",
    "apps",
    "outbox",
    "imports",
    "tracing",
    "sentry",
)

FEATURES: tuple[Feature, ...] = tuple(import_module(f"service.{folder}").FEATURE for folder in _FOLDERS)
