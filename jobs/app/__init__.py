"""`call_app`: runs a function in another app, and waits for its verdict."""

from jobs.app.args import CallAppArgs
from jobs.app.kind import call_app

__all__ = ["CallAppArgs", "call_app"]
