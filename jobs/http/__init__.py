"""`call_http`: any HTTP request, tried again until its answer is what was expected."""

from jobs.http.args import CallHttpArgs
from jobs.http.kind import call_http

__all__ = ["CallHttpArgs", "call_http"]
