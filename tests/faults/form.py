"""The form of the fault suite, and the figures that its tests report."""

import os
from typing import Protocol

WHOLE = os.environ.get("FAULTS_WHOLE") == "1"
"""Longer and more often, as in `make faults`; otherwise the short form of `make test`."""


class Figures(Protocol):
    """Records what a run measured, for the report."""

    def __call__(self, fault: str, **measured: float) -> None: ...
