"""A kind that runs each second, in a child process."""

import os

from jobs import job


@job("process_cron", runs="process", cron="* * * * * *")
def tick() -> int:
    """Tell in which process it runs."""
    return os.getpid()
