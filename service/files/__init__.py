"""The files feature: files that jobs make, below the data directory."""

from service.feature import Feature
from service.files.capability import open_files
from service.files.purge import PURGE

FEATURE = Feature("files", purge=PURGE, capability=open_files)
