"""`call_http`: any HTTP request, retried until its answer is as expected."""

from jobs.http.args import CallHttpArgs
from jobs.http.kind import call_http

__all__ = ["CallHttpArgs", "call_http"]
