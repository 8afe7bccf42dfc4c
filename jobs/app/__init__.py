"""`call_app`: has a function of another app run there, and waits for its verdict."""

from jobs.app.args import CallAppArgs
from jobs.app.kind import call_app

__all__ = ["CallAppArgs", "call_app"]
