"""Kinds with SLOs: one that keeps it, and one that does not."""

from jobs import job


@job("slo_kept", slo="99% in 60s")
async def kept() -> None: ...


@job("slo_missed", slo="50% in 60s", max_attempts=1)
async def missed() -> None:
    raise LookupError("no such thing")
