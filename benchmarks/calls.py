"""A kind that does nothing in a child process, and the same as a function for an executor."""

import jobs
from jobs import job


@job("bench_process", runs="process")
def nothing(number: int) -> int:
    return number


def load() -> None:
    """Load what the children of a worker load."""
    jobs.load()
