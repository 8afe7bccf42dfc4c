"""The form in which the fault suite runs, and what its tests note for the report."""

import os
from typing import Protocol

WHOLE = os.environ.get("FAULTS_WHOLE") == "1"
"""Longer and more often, as `make faults` runs it; else the short form of `make test`."""


class Figures(Protocol):
    """Notes what a run has measured, for the report."""

    def __call__(self, fault: str, **measured: float) -> None: ...
