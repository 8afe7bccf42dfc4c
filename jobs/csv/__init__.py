"""`import_csv`: puts the rows of a CSV file into a table, or hands them to a kind in batches."""

from jobs.csv.args import ImportCsvArgs
from jobs.csv.kind import import_csv

__all__ = ["ImportCsvArgs", "import_csv"]
